"""Images that are changed, renamed, added or removed between a run and the one that continues it, and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featcache.cache.reading import Cache
from featcache.errors import CacheMismatch, DataError
from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request
from tests.pictures import draw_class_folders


def extract(folder: Path, **options: object) -> Cache:
    given = {"model": "tiny", "dataset": str(folder), "workers": 0, "device": "cpu", "batch_size": 4, "check": False}
    return run_extraction(Request(**{**given, **options}), progress=False).cache  # type: ignore[arg-type]


@pytest.fixture
def begun(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which some shards are encoded: the run ended at an image that is mended since."""
    monkeypatch.setattr("featcache.cache.plan.SECONDS_PER_SHARD", 1e-9)  # one batch a shard
    folder = draw_class_folders(tmp_path / "photos", classes=3, per_class=10)
    last = folder / "class_2/009.png"
    content = last.read_bytes()
    last.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        extract(folder)
    last.write_bytes(content)
    return folder


def add(folder: Path) -> None:
    (folder / "class_0/new.png").write_bytes((folder / "class_0/000.png").read_bytes())


def remove(folder: Path) -> None:
    (folder / "class_0/000.png").unlink()


def rename(folder: Path) -> None:
    (folder / "class_0/000.png").rename(folder / "class_0/new.png")


def move_to_another_class(folder: Path) -> None:
    (folder / "class_0/000.png").rename(folder / "class_1/moved.png")


@pytest.mark.parametrize("change", [add, remove, rename, move_to_another_class])
@pytest.mark.parametrize("finished", [False, True])
def test_another_listing_goes_to_another_cache_and_nothing_is_lost(
    begun: Path, change: Callable[[Path], None], finished: bool
) -> None:
    if finished:
        extract(begun)
    change(begun)
    with pytest.raises(CacheMismatch, match="something different: .*--name NEWNAME") as raised:
        extract(begun, name="photos-tiny")
    assert "\n" not in str(raised.value)
    another = extract(begun)
    assert another.name == "photos-tiny-2"
    assert sum(another.rows.values()) == sum(path.suffix == ".png" for path in begun.rglob("*"))


def test_a_run_goes_on_after_the_change_is_taken_back(begun: Path) -> None:
    kept = (begun / "class_0/000.png").read_bytes()
    remove(begun)
    assert extract(begun).name == "photos-tiny-2"
    (begun / "class_0/000.png").write_bytes(kept)
    once = extract(begun, name="once")
    continued = extract(begun)
    assert continued.name == "photos-tiny"
    for split in once.splits:
        assert np.array_equal(once[split].images, continued[split].images)
        assert list(once[split].ids) == list(continued[split].ids)


def test_a_file_that_is_changed_makes_another_cache_and_its_digest_tells(begun: Path) -> None:
    """What is encoded stays as it is, with the digest of what was seen."""
    cache = extract(begun)
    changed = begun / cache["train"].ids[0]
    changed.write_bytes((begun / cache["train"].ids[-1]).read_bytes() + b"\0")  # of another size, which tells
    fresh = extract(begun)
    assert fresh.name == "photos-tiny-2"
    assert fresh["train"].content is not None
    assert cache["train"].content is not None
    differs = (fresh["train"].content != cache["train"].content).any(axis=1)
    assert differs.tolist() == [True] + [False] * (len(differs) - 1)
    assert np.array_equal(fresh["train"].images[0], fresh["train"].images[-1])


def test_a_file_that_vanishes_while_it_is_encoded_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_class_folders(tmp_path / "photos", classes=2, per_class=10)
    dataset = Request(model="tiny", dataset=str(folder)).load_dataset()
    gone = dataset.splits["test"].ids[-1]
    (folder / gone).unlink()
    monkeypatch.setattr(Request, "listed", lambda self: dataset)  # before
    with pytest.raises(DataError, match=rf"cannot read {gone} \(test row \d+\): .*No such file"):
        extract(folder)
    cache = extract(folder, on_error="skip")
    assert cache["test"].valid.tolist() == [True] * (len(cache["test"]) - 1) + [False]
