"""Reading a finished cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache import reading
from featcache.errors import CacheError
from tests.conftest import ImageFolder


def make(folder: Path, name: str) -> featcache.Cache:
    return featcache.extract("tiny", str(folder), name=name, workers=0, device="cpu", progress=False)


def test_a_split_that_is_not_there(root: Path, image_folder: ImageFolder) -> None:
    cache = make(image_folder(per_class=5), "c")
    with pytest.raises(CacheError, match="no split 'dev'; it has train, val, test"):
        cache["dev"]


def test_some_rows_are_the_same_as_all_rows_and_then_some(root: Path, image_folder: ImageFolder) -> None:
    train = make(image_folder(), "c")["train"]
    rows = [5, 0, 3]
    assert train.take_images(rows).tobytes() == train.images[rows].tobytes()  # type: ignore[arg-type]
    assert train.take_views(slice(0, 2)) is None


def test_loading_reads_all_splits_and_then_nothing_more(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one, loaded = make(image_folder(), "c"), featcache.open("c")
    expected = {
        split: [np.array(getattr(one_by_one[split], name)) for name in reading.LOADED] for split in one_by_one.splits
    }
    monkeypatch.setattr(reading, "BLOCK", 1)  # every shard by itself, the last of them not full
    loaded.load().load()
    shutil.rmtree(loaded.path)
    for split, values in expected.items():
        for name, value in zip(reading.LOADED, values, strict=True):
            assert np.array_equal(getattr(loaded[split], name), value), (split, name)
