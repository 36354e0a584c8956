"""The arrays of one cache, for the run that writes them. See docs/format.md for the layout and the commit protocol."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from featcache.cache.plan import Shard, ShardPlan
from featcache.errors import CacheError, CacheIncomplete
from featcache.ids import encode_ids
from featcache.places.folder import Folder, array_in

MISSING, UNREADABLE, ENCODED = -1, 0, 1
DAMAGE = (ValueError, KeyError, RuntimeError, OSError)  # what Zarr raises for a chunk or its metadata that is broken


@dataclass
class ShardResult:
    """What encoding one shard of R rows gave.

    Attributes:
        shard: Which rows.
        images: (R, D), NaN where an image is unreadable.
        views: (R, V, D) or None.
        state: (R,) int8, `ENCODED` or `UNREADABLE`.
        bad: The unreadable images: `{"row", "id", "reason"}` each.
    """

    shard: Shard
    images: np.ndarray
    views: np.ndarray | None
    state: np.ndarray
    bad: list[dict[str, Any]] = field(default_factory=list)


class CacheStore:
    """Creates a cache's arrays and writes its shards, each atomically and in the order that makes it provable."""

    def __init__(self, folder: Folder, plan: ShardPlan, *, dim: int, dtype: str) -> None:
        self.folder = folder
        self.plan = plan
        self._dim, self._dtype = dim, dtype
        with explain_full_disk(folder):
            self._group = folder.group("a")

    def prepare(self, splits: Mapping[str, tuple[Sequence[str], np.ndarray]], views: Mapping[str, int]) -> None:
        """Create what is missing; doing it again changes nothing.

        Args:
            splits: Ids and labels of each split.
            views: Augmented views of each split; splits that are not named get none.
        """
        self.folder.remove_partial_files()
        with explain_full_disk(self.folder):
            for split, (ids, labels) in splits.items():
                self._listing(f"{split}/ids", encode_ids(ids), fill_value=0)
                self._listing(f"{split}/labels", np.asarray(labels, np.int64), fill_value=-1)
                self._sharded(f"{split}/images", (len(ids), self._dim))
                if views.get(split):
                    self._sharded(f"{split}/views", (len(ids), views[split], self._dim))
                self._create(
                    f"{split}/state",
                    shape=(len(ids),),
                    chunks=(self.plan.rows_per_shard,),
                    dtype="int8",
                    fill_value=MISSING,
                    compressors=Crc32cCodec(),
                )

    def pending(self, split: str) -> list[Shard]:
        """The shards of a split that are not done, in order; a damaged record counts as none."""
        array, shards = self._array(f"{split}/state"), list(self.plan.shards(split))
        try:
            state = np.asarray(array[:])
        except DAMAGE:
            for shard in shards:
                try:
                    array[shard.start : shard.stop]
                except DAMAGE:
                    self.forget(shard)
            state = np.asarray(array[:])
        return [shard for shard in shards if (state[shard.start : shard.stop] == MISSING).any()]

    def encoded(self) -> int:
        """Rows that have an embedding, over all splits."""
        return sum(int(np.sum(np.asarray(self._array(f"{split}/state")[:]) == ENCODED)) for split in self.plan.rows)

    def write(self, result: ShardResult) -> None:
        """Write one shard; its `state` comes last and makes it count.

        Raises:
            CacheError: The disk is full.
        """
        shard, rows = result.shard, slice(result.shard.start, result.shard.stop)
        # Zarr would read an old shard before writing a partly filled one, and the old one may be damaged.
        self._erase(shard)
        with explain_full_disk(self.folder):
            if result.bad:
                self.folder.write_json(bad_file(shard), result.bad)
            self._array(f"{shard.split}/images")[rows] = self._stored(result.images, result.state)
            if result.views is not None:
                self._array(f"{shard.split}/views")[rows] = self._stored(result.views, result.state)
            self._array(f"{shard.split}/state")[rows] = result.state

    def forget(self, shard: Shard) -> None:
        """Remove a shard, so that the next run encodes it again."""
        self.folder.remove("complete.json")
        self._erase(shard)

    def forget_listing(self, split: str) -> None:
        """Remove ids and labels of a split, so that the next run writes them again."""
        self.folder.remove("complete.json")
        for name in ("ids", "labels"):
            self.folder.remove(f"{split}/{name}")

    def require_complete(self) -> dict[str, int]:
        """Prove from the store that no row is missing, and count the unreadable ones of each split.

        Raises:
            CacheIncomplete: Rows are missing.
        """
        unreadable = {}
        for split in self.plan.rows:
            state = np.asarray(self._array(f"{split}/state")[:])
            if missing := int((state == MISSING).sum()):
                raise CacheIncomplete(
                    f"{missing} of {len(state)} rows of {split} are missing in {self.folder.location}"
                )
            unreadable[split] = int((state == UNREADABLE).sum())
        return unreadable

    def _erase(self, shard: Shard) -> None:
        """Remove the chunks of a shard, the record of its completion first."""
        number = shard.start // self.plan.rows_per_shard
        for name in ("state", "images", "views"):
            self.folder.remove(f"{shard.split}/{name}/c/{number}")
        self.folder.remove(bad_file(shard))

    def _stored(self, embeddings: np.ndarray, state: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # told below
            stored = embeddings.astype(self._dtype)
        if not np.isfinite(stored[state == ENCODED]).all():
            largest = float(np.nanmax(np.abs(embeddings)))
            message = f"embeddings reach {largest:g}, more than {self._dtype} can hold; "
            raise CacheError(message + "type --dtype float32 and another --name")
        return stored

    def _array(self, name: str) -> zarr.Array[Any]:
        return array_in(self._group, name)

    def _create(self, name: str, **layout: Any) -> zarr.Array[Any]:
        if name in self._group:
            return self._array(name)
        return self._group.create_array(name, **layout)

    def _sharded(self, name: str, shape: tuple[int, ...]) -> None:
        rows, tail = self.plan.rows_per_shard, shape[1:]
        self._create(
            name,
            shape=shape,
            shards=(rows, *tail),
            chunks=(self.plan.rows_per_chunk, *tail),
            dtype=self._dtype,
            fill_value=np.nan,
            compressors=Crc32cCodec(),
        )

    def _listing(self, name: str, values: np.ndarray, fill_value: int) -> None:
        rows = min(len(values), 65_536)
        array = self._create(
            name,
            shape=values.shape,
            chunks=(rows, *values.shape[1:]),
            dtype=values.dtype,
            fill_value=fill_value,
            compressors=ZstdCodec(level=3, checksum=True),
        )
        try:
            same = array.shape == values.shape and np.array_equal(np.asarray(array[:]), values)
        except DAMAGE:
            same = False
        if not same:
            array[:] = values


def bad_file(shard: Shard) -> str:
    """The file that lists the unreadable images of a shard."""
    return f"bad/{shard.split}-{shard.start}.json"


@contextmanager
def explain_full_disk(folder: Folder) -> Iterator[None]:
    """Turn the system's "no space left" into a line that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"the disk that holds {folder.location} is full; free some space and type the same command again: "
        raise CacheError(message + "finished shards are kept") from error
