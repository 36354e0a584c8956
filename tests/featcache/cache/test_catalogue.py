from __future__ import annotations

from pathlib import Path

import pytest

import featcache
from featcache.cache.layout import COMPLETE, ROOT_GROUP, STATE
from featcache.cache.sealed import write_sealed
from featcache.errors import CacheError, CacheNotFound
from tests.conftest import ImageFolder


def make(folder: Path, name: str) -> featcache.Cache:
    return featcache.extract("tiny", str(folder), name=name, workers=0, device="cpu", progress=False)


def test_listing_opening_and_the_latest(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(per_class=5)
    with pytest.raises(CacheError, match="featcache extract --model tiny --dataset digits"):
        featcache.latest()
    with pytest.raises(CacheNotFound, match="make one with"):
        featcache.open("first")
    first, second = make(folder, "first"), make(folder, "second")
    finished = Path(first.path, COMPLETE)
    write_sealed(first.folder, COMPLETE, {**first.completion, "finished": "2126"})  # a later year
    assert [listed.name for listed in featcache.list_caches()] == ["first", "second"]
    assert featcache.latest().name == "first"
    assert featcache.open("second").digest == second.digest
    assert featcache.open(second.path).name == "second"
    with pytest.raises(CacheNotFound, match="did you mean second"):
        featcache.open("secnd")

    with pytest.raises(CacheNotFound, match=f"type `featcache list --root {root}` to see all"):
        featcache.open("none", root=root)

    finished.unlink()
    assert [(listed.name, listed.finished is None) for listed in featcache.list_caches()][-1] == ("first", True)
    assert featcache.list_caches()[-1].done() == 15
    assert featcache.latest().name == "second"


def test_rows_of_a_damaged_record_are_not_done(root: Path, image_folder: ImageFolder) -> None:
    cache = make(image_folder(per_class=5), "c")
    Path(cache.path, COMPLETE).unlink()
    (listed,) = featcache.list_caches()
    states = Path(cache.path, "train", STATE)
    for damaged in (states / "c/0", states / ROOT_GROUP):
        sound = damaged.read_bytes()
        damaged.write_bytes(b"damaged")
        assert listed.done() == sum(cache.rows.values()) - cache.rows["train"]
        damaged.write_bytes(sound)


def test_an_odd_folder_hides_no_other(root: Path, image_folder: ImageFolder) -> None:
    make(image_folder(per_class=5), "sound")
    for name, content in (("future", '{"format": "featcache/9"}'), ("torn", '{"format":')):
        (root / "caches" / name).mkdir()
        (root / "caches" / name / "manifest.json").write_text(content)
    begun = root / "caches" / "begun"
    begun.mkdir()
    (begun / "manifest.json").write_text((root / "caches/sound/manifest.json").read_text())
    listed = {cache.name: cache for cache in featcache.list_caches()}
    assert "featcache/9" in str(listed["future"].problem)
    assert "is not JSON" in str(listed["torn"].problem)
    assert listed["begun"].done() == 0
    assert featcache.latest().name == "sound"


def test_the_latest_is_the_one_that_extract_was_asked_for_last(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(per_class=5)
    make(folder, "first")
    make(folder, "second")
    assert featcache.latest().name == "second"
    make(folder, "first")  # recognised
    assert featcache.latest().name == "first"
    write_sealed(featcache.open("second").folder, COMPLETE, {**featcache.open("second").completion, "finished": "2126"})
    assert featcache.latest().name == "second"
