"""Downloads through torchvision (its network is replaced here), and what is said where there is none."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torchvision.datasets
from torchvision.datasets import utils

from featcache.datasets.cards import list_cards
from featcache.datasets.load import load_dataset
from featcache.errors import DataError
from tests.pictures import listing_of

FOLDERS = next(card.folders for card in list_cards() if card.name == "eurosat")


def unpack_eurosat(url: str, download_root: str, md5: str) -> None:
    """Stands for torchvision's download_and_extract_archive."""
    assert url.endswith("EuroSAT.zip")
    assert md5 == "c8fa014336c82ac7804f0398fcb19387"
    assert socket.getdefaulttimeout() is not None
    print("progress")
    for folder in FOLDERS or ():
        (Path(download_root) / "2750" / folder).mkdir(parents=True)
        for i in range(10):
            (Path(download_root) / "2750" / folder / f"{folder}_{i}.jpg").write_bytes(b"")


def test_eurosat_downloads_into_torchvisions_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torchvision.datasets.eurosat, "download_and_extract_archive", unpack_eurosat)
    (tmp_path / "eurosat").mkdir()
    (tmp_path / "eurosat/notes.txt").write_text("mine")
    dataset = load_dataset("eurosat", data_root=tmp_path)
    assert [len(split) for split in dataset.splits.values()] == [50, 20, 30]
    assert (tmp_path / "eurosat/2750/Forest/Forest_3.jpg").exists()
    assert (tmp_path / "eurosat/notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eurosat"]
    assert capsys.readouterr() == ("", "progress\n")
    assert socket.getdefaulttimeout() is None
    # What is there is used, not downloaded again.
    monkeypatch.setattr(torchvision.datasets, "EuroSAT", None)
    assert listing_of(load_dataset("eurosat", data_root=tmp_path)) == listing_of(dataset)


def test_download_goes_to_the_home_without_a_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets.eurosat, "download_and_extract_archive", unpack_eurosat)
    monkeypatch.setenv("FEATCACHE_HOME", str(tmp_path / "home"))
    load_dataset("eurosat")
    assert (tmp_path / "home/datasets/eurosat/2750").is_dir()
    load_dataset("eurosat", download_root=tmp_path / "other")
    assert (tmp_path / "other/eurosat/2750").is_dir()


def test_no_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        DataError, match=r"cannot download EuroSAT .*Name or service not known.*EuroSAT.zip from"
    ) as got:
        load_dataset("eurosat", data_root=tmp_path)
    assert "\n" not in str(got.value)
    assert str(tmp_path) in str(got.value)
    assert asked == ["huggingface.co"]
    assert list(tmp_path.iterdir()) == []


def test_a_broken_download_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(url: str, download_root: str, md5: str) -> None:
        (Path(download_root) / "2750/Forest").mkdir(parents=True)
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets.eurosat, "download_and_extract_archive", half)
    with pytest.raises(DataError, match="corrupted"):
        load_dataset("eurosat", data_root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_downloading_card_asks_torchvision_for_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, str] = {}

    def refuse(url: str, *_: Any, **__: Any) -> None:
        asked[card.name] = url
        raise OSError("no network")

    modules = [module for name, module in sys.modules.items() if name.startswith("torchvision.datasets.")]
    for module in modules:
        for function in ("download_and_extract_archive", "download_url"):
            if hasattr(module, function):
                monkeypatch.setattr(module, function, refuse)
    assert utils.download_url is refuse
    for card in list_cards():
        if card.downloads:
            with pytest.raises(DataError, match="no network"):
                load_dataset(card.name, data_root=tmp_path)
    assert {name: Path(url).name for name, url in asked.items()} == {
        "caltech101": "caltech-101.zip",
        "cifar10": "cifar-10-python.tar.gz",
        "cifar100": "cifar-100-python.tar.gz",
        "dtd": "dtd-r1.0.1.tar.gz",
        "eurosat": "EuroSAT.zip",
        "fgvc_aircraft": "fgvc-aircraft-2013b.tar.gz",
        "flowers102": "102flowers.tgz",
        "food101": "food-101.tar.gz",
        "oxford_pets": "images.tar.gz",
        "sun397": "SUN397.tar.gz",
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("imagenet", "register at https://www.image-net.org/"),
        ("stanford_cars", "torchvision cannot download it any more"),
        ("ucf101", "put UCF-101-midframes.zip"),
    ],
)
def test_sets_to_fetch_by_hand_say_where_to_put_what(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(name, data_root=tmp_path)
    message = str(caught.value)
    assert said in message
    assert str(tmp_path) in message
    assert "--data-root" in message
    assert "\n" not in message


def test_where_it_looked_is_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"eurosat/2750, 2750, .*EuroSAT.zip.*or the class folders themselves"):
        load_dataset("eurosat", data_root=tmp_path, download=False)
    (tmp_path / "other.zip").write_bytes(b"PK\x05\x06" + bytes(18))  # an empty archive
    with pytest.raises(DataError, match="does not hold EuroSAT"):
        load_dataset("eurosat", data_root=tmp_path / "other.zip")
    (tmp_path / "other.tar").write_bytes(b"")
    with pytest.raises(DataError, match="not a zip archive"):
        load_dataset("eurosat", data_root=tmp_path / "other.tar")
