"""A shard counts when its state is written, and only then."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featcache.cache import layout, writing
from featcache.cache.layout import ENCODED, STATE, UNREADABLE
from featcache.cache.manifest import BEFORE, FORMAT
from featcache.cache.plan import Shard
from featcache.cache.writing import CacheStore, ShardResult, explain_full_disk, shard_states
from featcache.errors import CacheError, CacheIncomplete
from featcache.ids import decode_ids
from featcache.places.folder import Folder

IDS, LABELS = ["a", "b", "c", "d", "e"], np.arange(5)


def manifest(of_format: str) -> dict[str, Any]:
    identity = {"encoder": {"dim": 3}, "dtype": "float16", "batch_size": 2}
    return {"format": of_format, "identity": identity, "plan": {"rows": {"train": 5}, "rows_per_shard": 2}}


@pytest.fixture
def store(tmp_path: Path) -> CacheStore:
    made = CacheStore(Folder(str(tmp_path)), manifest(FORMAT))
    made.prepare({"train": (IDS, LABELS)}, {})
    return made


def result(shard: Shard, *, unreadable: bool = False) -> ShardResult:
    images, state = np.ones((len(shard), 3), np.float32), np.full(len(shard), ENCODED, np.int8)
    if unreadable:
        images[0], state[0] = np.nan, UNREADABLE
    bad = [{"row": shard.start, "id": IDS[shard.start], "reason": "empty"}] if unreadable else []
    content = np.full((len(shard), 16), 1 + shard.start, np.uint8)
    return ShardResult(shard, images, None, state, content, bad)


def test_shards_are_pending_until_they_are_written(store: CacheStore) -> None:
    first, second, third = store.pending("train")
    store.write(result(second, unreadable=True))
    store.write(result(third))
    assert store.pending("train") == [first]
    assert store.encoded() == 2
    with pytest.raises(CacheIncomplete, match="2 of 5 rows of train are missing"):
        store.require_complete()
    store.write(result(first))
    assert store.require_complete() == {"train": 1}
    assert store.folder.names("bad") == ["train-2.json"]
    store.forget(second)
    assert (store.pending("train"), store.folder.names("bad")) == ([second], [])


def test_of_two_that_write_a_shard_the_one_that_is_killed_takes_nothing_away(
    store: CacheStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = store.pending("train")[0], CacheStore(store.folder, manifest(FORMAT))
    monkeypatch.setattr(other, "_put", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    put = store._put

    def put_beside(shard: Shard, name: str, values: np.ndarray) -> None:
        if name == STATE:
            with pytest.raises(KeyboardInterrupt):
                other.write(result(first))
        put(shard, name, values)

    monkeypatch.setattr(store, "_put", put_beside)
    store.write(result(first))
    assert first not in store.pending("train")
    assert np.asarray(store._array("train", "images")[:2]).tolist() == [[1, 1, 1]] * 2


def test_a_damaged_shard_that_is_not_full_is_written_again(store: CacheStore) -> None:
    last = store.pending("train")[-1]
    store.write(result(last))
    for name in ("images", "content"):
        store.folder.path(layout.chunk(last, name, store.plan)).write_bytes(b"damaged")
    store.folder.remove(layout.chunk(last, STATE, store.plan))  # of a run that was killed
    assert last in store.pending("train")
    store.write(result(last))
    assert last not in store.pending("train")
    assert np.asarray(store._array("train", "images")[4]).tolist() == [1, 1, 1]


def test_digests_of_files_are_kept_from_format_2_on(store: CacheStore, tmp_path: Path) -> None:
    for shard in store.pending("train"):
        store.write(result(shard))
    assert np.asarray(store._array("train", "content")[:, 0]).tolist() == [1, 1, 3, 3, 5]
    first = CacheStore(Folder(str(tmp_path / "old")), manifest(BEFORE))
    first.prepare({"train": (IDS, LABELS)}, {})
    first.write(result(first.pending("train")[0]))
    assert first.folder.names("train") == ["ids", "images", "labels", "state", "zarr.json"]


def test_preparing_again_keeps_what_is_there_and_mends_the_listing(store: CacheStore) -> None:
    first = store.pending("train")[0]
    store.write(result(first))
    store.forget_listing("train")
    store.prepare({"train": (IDS, LABELS)}, {})
    assert first not in store.pending("train")
    assert np.asarray(store._array("train", "labels")[:]).tolist() == LABELS.tolist()


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_records_are_read_some_together_and_a_damaged_one_alone(
    store: CacheStore, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "STATES_AT_ONCE", at_once)
    first, second, third = store.pending("train")
    for shard in (first, second, third):
        store.write(result(shard, unreadable=shard is first))
    assert (store.pending("train"), store.encoded(), store.require_complete()) == ([], 4, {"train": 1})
    Path(store.folder.path("train/state/c/1")).write_bytes(b"damaged")
    with pytest.raises(CacheIncomplete, match="2 of 5 rows of train are missing"):
        store.require_complete()
    assert store.encoded() == 2
    states = shard_states(store._array("train", STATE), store.plan, "train")
    assert [(shard, None if state is None else state.tolist()) for shard, state in states] == [
        (first, [UNREADABLE, ENCODED]),
        (second, None),
        (third, [ENCODED]),
    ]
    assert store.pending("train") == [second]


def test_only_the_part_of_a_listing_that_is_not_there_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "LISTING_ROWS", 2)
    monkeypatch.setattr(writing, "LISTING_BLOCK", 2)
    store = CacheStore(Folder(str(tmp_path)), manifest(FORMAT))
    store.prepare({"train": (IDS, LABELS)}, {})
    chunks = [tmp_path / f"train/ids/c/{place}/0" for place in range(3)]
    before = [chunk.stat().st_mtime_ns for chunk in chunks]
    chunks[1].write_bytes(b"damaged")
    store.prepare({"train": (IDS, LABELS)}, {})
    after = [chunk.stat().st_mtime_ns for chunk in chunks]
    assert decode_ids(np.asarray(store._array("train", "ids")[:])).tolist() == IDS
    assert (after[0], after[2]) == (before[0], before[2])


def test_a_full_disk_is_told_and_other_errors_are_left_alone(store: CacheStore) -> None:
    with pytest.raises(CacheError, match="is full; free some space"), explain_full_disk(store.folder):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), explain_full_disk(store.folder):
        raise PermissionError(errno.EACCES, "Permission denied")
