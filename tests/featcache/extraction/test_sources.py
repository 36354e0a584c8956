"""Whatever the layout, the same images give the same embeddings, and what was encoded is found again."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
import s3fs

import featcache
from featcache.datasets.load import load_dataset
from featcache.datasets.readers import remote
from featcache.extraction.extract import ExtractionReport, run_extraction
from featcache.extraction.request import Request
from featcache.verification.verify import verify
from tests import layouts
from tests.hub_server import hub_of
from tests.pictures import draw_class_folders
from tests.processes import run

CHECKOUT = Path(__file__).parents[3]


Embeddings = dict[str, dict[bytes, tuple[bytes, str]]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders under train and test."""
    folder = tmp_path_factory.mktemp("sources") / "photos"
    draw_class_folders(folder / "train", classes=3, per_class=6)
    draw_class_folders(folder / "test", classes=3, per_class=3, seed=1)
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path) -> Embeddings:
    """What the folder gives."""
    return embeddings(encode(photos, root=photos.parent / "home").cache)


def tars(photos: Path, out: Path) -> str:
    return str(layouts.write_shards(photos, out))


def tars_with_json(photos: Path, out: Path) -> str:
    layouts.write_shards(photos, out, label="json")
    return str(out / "{train,test}-{000..001}.tar")


def tar_of_class_folders(photos: Path, out: Path) -> str:
    out.mkdir()
    return shutil.make_archive(str(out / "photos"), "tar", photos.parent, "photos")


def tables(photos: Path, out: Path) -> str:
    return str(layouts.write_tables(photos, out))


def saved_to_disk(photos: Path, out: Path) -> str:
    if importlib.util.find_spec("datasets") is None:
        pytest.skip("datasets is not installed")
    code = (
        "import sys, datasets\n"
        "found = datasets.load_dataset('imagefolder', data_dir=sys.argv[1], cache_dir=sys.argv[3])\n"
        "found.save_to_disk(sys.argv[2])\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", code, str(photos), str(out), str(out) + "-cache"]
    subprocess.run(words, check=True, capture_output=True)
    return str(out)


def metadata_csv(photos: Path, out: Path) -> str:
    return str(layouts.write_metadata(photos, out, "csv"))


LAYOUTS = (
    tars,
    tars_with_json,
    tar_of_class_folders,
    tables,
    saved_to_disk,
    metadata_csv,
)
IN_PROCESSES = (tars, tables)
"""Those that are read in worker processes here."""


def encode(dataset: str | Path, **options: object) -> ExtractionReport:
    how = {"workers": 0, "device": "cpu", "batch_size": 4, **options}
    return run_extraction(Request(model="tiny", dataset=str(dataset), **how), progress=False)  # type: ignore[arg-type]


def embeddings(cache: featcache.Cache) -> Embeddings:
    """Of each split: an image file's digest, its embedding and its class."""
    return {
        split: {
            bytes(digest): (embedding.tobytes(), cache.class_names[label])
            for digest, embedding, label in zip(rows.content, rows.images, rows.labels, strict=True)  # type: ignore[arg-type]
        }
        for split, rows in ((split, cache[split]) for split in cache.splits)
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_the_embeddings_of_the_folder(
    layout: Callable[[Path, Path], str], photos: Path, expected: Embeddings, root: Path, tmp_path: Path
) -> None:
    dataset = layout(photos, tmp_path / "other")
    cache = encode(dataset, workers=2 * (layout in IN_PROCESSES), name="other").cache
    assert cache.rows == {"train": 18, "test": 9}
    assert embeddings(cache) == expected
    assert cache.manifest["provenance"]["source"] == dataset
    again = encode(dataset, name="other")
    assert (again.encoded, again.resumed) == (0, 27)
    found = verify(cache.folder, sample=8, device="cpu")  # lists and reads the source again
    assert (found.problems, found.identical) == ([], found.sampled)
    assert found.sampled > 0


def test_a_data_set_of_the_hub_is_extracted_by_name_and_found_again_without_the_hub(
    photos: Path, expected: Embeddings, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.write_tables(photos, tmp_path / "set")
    (tmp_path / "set/.gitattributes").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    words = ("extract", "--model", "tiny", "--dataset", "hf:us/photos", "--workers", "0", "--device", "cpu", "--json")
    with hub_of({"us/photos": tmp_path / "set"}) as (url, _):
        monkeypatch.setenv("HF_ENDPOINT", url)
        made = json.loads(run("featcache", *words, "--batch-size", "4").stdout)
    cache = featcache.open(made["cache"])
    assert (cache.name, made["encoded"]) == ("photos-tiny", 27)
    assert embeddings(cache) == expected
    assert json.loads(run("featcache", *words).stdout)["resumed"] == 27


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket of a server on loopback."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    for name, value in (
        ("AWS_ENDPOINT_URL", server.stdout.readline().strip()),
        ("AWS_ACCESS_KEY_ID", "somebody"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    remote._connected.cache_clear()
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket/sets"
    server.kill()
    server.communicate()
    remote._connected.cache_clear()


def upload(folder: Path, url: str) -> str:
    s3fs.S3FileSystem(skip_instance_cache=True).put(f"{folder}/", f"{url}/", recursive=True)
    return url


def csv_of(photos: Path) -> str:
    paths = [path.relative_to(photos) for path in sorted(photos.rglob("*.png"))]
    lines = [f"{path},{path.parent.name},{path.parts[0]}" for path in paths]
    (photos / "labels.csv").write_text("path,label,split\n" + "".join(f"{line}\n" for line in lines))
    return "labels.csv"


def test_folders_tables_and_tars_in_a_bucket_are_as_on_disk(
    photos: Path, expected: Embeddings, root: Path, bucket: str, tmp_path: Path
) -> None:
    csv = csv_of(photos)
    layouts.write_shards(photos, tmp_path / "tars")
    folder, shards = upload(photos, f"{bucket}/photos"), upload(tmp_path / "tars", f"{bucket}/tars")
    for number, dataset in enumerate((folder, f"{folder}/{csv}", shards)):
        cache = encode(dataset, workers=2 * (number == 0), name=f"remote{number}").cache
        assert embeddings(cache) == expected
        assert cache.manifest["provenance"]["source"] == dataset
        assert encode(dataset, name=f"remote{number}").resumed == 27
    for pattern in ("/*.tar", "/{train,test}-{000..001}.tar"):
        assert {split: set(rows.ids) for split, rows in load_dataset(shards + pattern).splits.items()} == {
            split: set(cache[split].ids) for split in cache.splits
        }
