"""Reading a finished cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import featcache
from featcache.cache import split as of_split
from featcache.cache.manifest import FORMAT
from featcache.cache.metadata import Expected
from featcache.cache.split import CachedSplit
from featcache.cache.writing import CacheStore, ShardResult
from featcache.errors import CacheError, CacheIncomplete
from featcache.places.folder import Folder
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
    assert train.take_images(np.empty(0, np.int64)).shape == (0, train.images.shape[1])
    assert train.take_ids(rows).tolist() == train.ids[rows].tolist()  # type: ignore[arg-type]


def test_loading_reads_all_splits_and_then_nothing_more(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one, loaded = make(image_folder(), "c"), featcache.open("c")
    expected = {
        split: [np.array(getattr(one_by_one[split], name)) for name in of_split.LOADED] for split in one_by_one.splits
    }
    monkeypatch.setattr(of_split, "BLOCK", 1)  # every shard by itself, the last of them not full
    loaded.load().load()
    shutil.rmtree(loaded.path)
    for split, values in expected.items():
        for name, value in zip(of_split.LOADED, values, strict=True):
            assert np.array_equal(getattr(loaded[split], name), value), (split, name)


def test_rows_are_read_without_the_records_of_others(tmp_path: Path) -> None:
    identity = {"encoder": {"dim": 3}, "dtype": "float16", "batch_size": 2}
    plan = {"rows": {"train": 4}, "rows_per_shard": 2}
    manifest = {"format": FORMAT, "identity": identity, "plan": plan, "provenance": {}}
    store = CacheStore(Folder(str(tmp_path)), manifest)
    store.prepare({"train": (["a", "b", "c", "d"], np.arange(4))}, {})
    first, _ = store.pending("train")
    store.write(ShardResult(first, np.ones((2, 3)), None, np.ones(2, np.int8), np.ones((2, 16), np.uint8)))
    group = Folder(str(tmp_path)).group("r")["train"]
    split = CachedSplit("train", group, Expected(manifest, "train"))  # type: ignore[arg-type]
    assert split.take_images(np.array([1])).tolist() == [[1, 1, 1]]
    with pytest.raises(CacheIncomplete, match="1 of 1 rows are missing"):
        split.take_images(np.array([2]))
    with pytest.raises(CacheIncomplete, match="2 of 4 rows are missing"):
        split.images  # noqa: B018
