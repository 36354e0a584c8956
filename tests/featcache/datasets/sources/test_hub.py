"""Data sets of the Hugging Face hub by name, from a hub on loopback: what is downloaded, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from featcache.datasets.load import load_dataset
from featcache.datasets.sources import hub
from featcache.errors import DataError
from tests.hub_server import COMMIT, hub_of
from tests.layouts import image_table, write_tar
from tests.pictures import listing_of, make_class_folders, split_sizes, tiny_png

pytestmark = pytest.mark.usefixtures("root")

ROWS = [(f"{number}", ("cat", "dog")[number % 2], tiny_png(number)) for number in range(6)]


def tables(folder: Path, *names: str, card: str = "") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(image_table(ROWS, classes=["cat", "dog"]), folder / name)
    (folder / "README.md").write_text(f"---\n{card}---\n# A set\n")
    (folder / ".gitattributes").write_text("")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data sets as people upload them."""
    hub = tmp_path_factory.mktemp("hub")
    card = (
        "configs:\n"
        "- config_name: whole\n  data_files: whole/*.parquet\n"
        "- config_name: small\n  default: true\n  data_files:\n"
        "  - split: train\n    path: small/a-*\n  - split: test\n    path: [small/b-*]\n"
        "  - split: unsupervised\n    path: small/c-*\n"
    )
    files = ("small/a-0.parquet", "small/b-0.parquet", "small/c-0.parquet", "whole/x.parquet")
    mixed = "configs:\n- config_name: a\n  data_files: a/*.tar\n- config_name: b\n  data_files: '**/*.parquet'\n"
    write_tar(hub / "mixed/a/0.tar", {"0.png": tiny_png(0), "0.cls": b"a"})
    shards = hub / "shards"
    members = {}
    for name, label, content in ROWS:
        members |= {f"{name}.png": content, f"{name}.cls": label.encode()}
    write_tar(shards / "0.tar", members)
    (shards / ".gitattributes").write_text("")
    photos = make_class_folders(hub / "photos", {"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1})
    (photos / ".gitattributes").write_text("")
    return {
        "us/plain": tables(hub / "plain", "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        "us/several": tables(hub / "several", *files, card=card),
        "us/converted": tables(hub / "converted", "one/train/0.parquet", "one/test/0.parquet", "two/train/0.parquet"),
        "us/mixed": tables(hub / "mixed", "b.parquet", "c/d.parquet", card=mixed),
        "us/shards": shards,
        "us/photos": photos,
    }


@pytest.fixture
def asked(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the hub on loopback was asked for; its client keeps files in an empty folder."""
    with hub_of(folders) as (url, asked):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield asked


def test_tables_are_downloaded_once_and_listed_as_from_disk(asked: list[str], folders: dict[str, Path]) -> None:
    dataset = load_dataset("hf:us/plain")
    assert dataset.name == "plain"
    assert dataset.provenance["source"] == f"hf:us/plain@{COMMIT}"
    assert listing_of(dataset) == listing_of(load_dataset(str(folders["us/plain"])))
    assert dataset.reader.read("data/test-00000-of-00001.parquet/3") == tiny_png(3)
    asked.clear()
    again = load_dataset(dataset.provenance["source"])
    assert listing_of(again) == listing_of(dataset)
    assert not [path for path in asked if path.endswith(".parquet")]


def test_what_was_downloaded_is_found_without_the_hub(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset("hf:us/plain")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked.clear()
    assert listing_of(load_dataset("hf:us/plain")) == listing_of(dataset)
    assert listing_of(load_dataset("hf:us/plain", download=False)) == listing_of(dataset)
    assert not asked
    with pytest.raises(DataError, match="the data set us/photos on the hub cannot be had: ") as caught:
        load_dataset("hf:us/photos")
    assert "\n" not in str(caught.value)


def test_a_card_names_configurations_and_the_files_of_their_splits(asked: list[str]) -> None:
    default = load_dataset("hf:us/several")
    assert split_sizes(default) == {"train": 6, "test": 6}
    assert default.splits["test"].ids[0] == "small/b-0.parquet/0"
    assert default.provenance["left_out"] == {"in files that name no split": 6}
    assert not [path for path in asked if "whole" in path]
    whole = load_dataset("hf:us/several:whole")
    assert sum(split_sizes(whole).values()) == 6
    assert whole.provenance["source"] == f"hf:us/several@{COMMIT}:whole"
    with pytest.raises(DataError, match="has no configuration half, but whole, small: type hf:us/several:whole"):
        load_dataset("hf:us/several:half")


def test_a_configuration_among_others_is_of_tables(asked: list[str]) -> None:
    assert sum(split_sizes(load_dataset("hf:us/mixed:b")).values()) == 12
    with pytest.raises(DataError, match="hf:us/mixed:a is not of Parquet files: download it by `hf download us/mixed"):
        load_dataset("hf:us/mixed:a")


def test_without_a_card_configurations_are_folders(asked: list[str]) -> None:
    with pytest.raises(DataError, match="us/converted has the configurations one, two: type hf:us/converted:one"):
        load_dataset("hf:us/converted")
    dataset = load_dataset("hf:us/converted@main:one")
    assert split_sizes(dataset) == {"train": 6, "test": 6}
    assert dataset.splits["train"].ids[0] == "train/0.parquet/0"
    with pytest.raises(DataError, match="us/converted has no files below three/"):
        load_dataset("hf:us/converted:three")


def test_tars_and_images_are_opened_as_the_folder_that_they_are(asked: list[str], folders: dict[str, Path]) -> None:
    for name, image in (("us/shards", "0/4.png"), ("us/photos", "train/cat/001.png")):
        dataset = load_dataset(f"hf:{name}")
        assert listing_of(dataset) == listing_of(load_dataset(str(folders[name])))
        assert dataset.reader.read(image)


@pytest.mark.parametrize(
    "configs", [[{"data_files": "*.parquet"}], None, [{"config_name": "a", "data_files": [{"split": "train"}]}]]
)
def test_a_card_that_nobody_can_read_is_told_in_a_line(
    configs: object, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "dataset_card", lambda folder: {"configs": configs})
    with pytest.raises(DataError, match=r"the card of us/plain on the hub says `configs` as nobody reads them") as e:
        load_dataset("hf:us/plain")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:us/none", "no data set us/none on the hub: mend the name, or `hf auth login` if it is private"),
        ("hf:us/gated", "the data set us/gated on the hub is given to those who ask on its page"),
        ("hf:us/plain@v9", "the data set us/plain on the hub has no revision v9: leave it out"),
        ("hf:", "hf: names no data set: type hf:owner/name"),
        ("hf:a/b/c", "the data set a/b/c on the hub cannot be had: "),
    ],
)
def test_errors(name: str, message: str, asked: list[str]) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(name)
    assert "\n" not in str(caught.value)
