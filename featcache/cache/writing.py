"""The arrays of one cache, for the run that writes them. See docs/format.md for the layout and the commit protocol."""

from __future__ import annotations

import errno
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr

from featcache.cache import layout
from featcache.cache.layout import (
    BAD,
    CONTENT,
    DAMAGE,
    EMBEDDINGS,
    ENCODED,
    IDS,
    IMAGES,
    LABELS,
    MISSING,
    PRE_IMAGES,
    PRE_VIEWS,
    ROOT_GROUP,
    SEALS,
    STATE,
    UNREADABLE,
    VIEWS,
)
from featcache.cache.manifest import BEFORE, pre_width
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.sealed import ShardSeal, seals_shards
from featcache.errors import CacheError, CacheIncomplete
from featcache.ids import blocks, encode_ids
from featcache.places.folder import Folder, array_in
from featcache.places.together import together

LISTING_BLOCK = 16 * layout.LISTING_ROWS
"""Rows of ids or labels that are compared with the store and written together."""
STATES_AT_ONCE = 2**22
"""Rows whose states are read together."""


@dataclass
class ShardResult:
    """What encoding one shard of R rows gave.

    Attributes:
        shard: Which rows.
        images: (R, D), NaN where an image is unreadable; (R, D + P) where what is before the last projection is kept.
        views: (R, V, D), or as wide as `images`; or None.
        state: (R,) int8, `ENCODED` or `UNREADABLE`.
        content: (R, 16) uint8 digests of the image files; zeros where a file could not be read.
        bad: The unreadable images: `{"row", "id", "reason"}` each.
        reused: Rows that were taken from other caches.
    """

    shard: Shard
    images: np.ndarray
    views: np.ndarray | None
    state: np.ndarray
    content: np.ndarray
    bad: list[dict[str, Any]] = field(default_factory=list)
    reused: int = 0


class CacheStore:
    """Creates a cache's arrays and writes its shards, each atomically and in the order that makes it provable."""

    def __init__(self, folder: Folder, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.plan = ShardPlan.from_manifest(manifest)
        identity = manifest["identity"]
        self._dim, self._dtype = identity["encoder"]["dim"], identity["dtype"]
        self._pre = pre_width(identity)
        self._has_content = manifest["format"] != BEFORE
        self._sealed_for: str | None = manifest["digest"] if seals_shards(manifest) else None
        self._arrays: dict[str, zarr.Array[Any]] = {}
        with explain_full_disk(folder):
            self._group = folder.group("a")

    def prepare(self, splits: Mapping[str, tuple[Sequence[str], np.ndarray]], views: Mapping[str, int]) -> None:
        """Create what is missing; doing it again changes nothing.

        Args:
            splits: Ids and labels of each split.
            views: Augmented views of each split; splits that are not named get none.
        """

        def prepare(split: str) -> None:
            ids, labels = splits[split]
            self._whole_group(split)
            encoded = encode_ids(ids)
            self._listing(split, IDS, encoded, layout.ids(*encoded.shape))
            self._listing(split, LABELS, labels, layout.labels(len(labels)))
            self._create(split, IMAGES, layout.embeddings((len(ids), self._dim), self.plan, self._dtype))
            of_views = (len(ids), views.get(split, 0))
            if views.get(split):
                self._create(split, VIEWS, layout.embeddings((*of_views, self._dim), self.plan, self._dtype))
            if self._pre:
                self._create(split, PRE_IMAGES, layout.embeddings((len(ids), self._pre), self.plan, self._dtype))
            if self._pre and views.get(split):
                self._create(split, PRE_VIEWS, layout.embeddings((*of_views, self._pre), self.plan, self._dtype))
            if self._has_content:
                self._create(split, CONTENT, layout.contents(len(ids), self.plan))
            if self._sealed_for:
                self._create(split, SEALS, layout.seals(len(ids), self.plan))
            self._create(split, STATE, layout.states(len(ids), self.plan))

        with explain_full_disk(self.folder):
            together(prepare, splits)

    def pending(self, split: str) -> list[Shard]:
        """The shards of a split that are not done, in order; a damaged record counts as none."""
        pending, damaged = pending_shards(self._array(split, STATE), self.plan, split)
        for shard in damaged:
            self.forget(shard)
        return pending

    def encoded(self) -> int:
        """Rows that have an embedding, over all splits."""
        return sum(counts[ENCODED] for counts in together(self._counts, self.plan.rows))

    def write(self, result: ShardResult) -> None:
        """Write one shard; its `state` comes last and makes it count.

        An older writing of it is replaced file by file and not removed: should two write the same shard, as when a
        writer was taken for dead, whichever `state` is there belongs to embeddings that are there, too.

        Raises:
            CacheError: The disk is full.
        """
        shard = result.shard
        seal = ShardSeal(self._sealed_for or "", shard)

        def put(name: str, values: np.ndarray) -> None:
            self._put(shard, name, values)
            seal.add(name, values)

        with explain_full_disk(self.folder):
            self.folder.remove(layout.chunk(shard, STATE, self.plan))
            if result.bad:
                self.folder.write_json(layout.bad_file(shard), result.bad)
            else:
                self.folder.remove(layout.bad_file(shard))
            images = self._stored(result.images, result.state)
            views = None if result.views is None else self._stored(result.views, result.state)
            put(IMAGES, images[:, : self._dim])
            if views is not None:
                put(VIEWS, views[..., : self._dim])
            if self._pre:
                put(PRE_IMAGES, images[:, self._dim :])
            if self._pre and views is not None:
                put(PRE_VIEWS, views[..., self._dim :])
            if self._has_content:
                put(CONTENT, result.content)
            if self._sealed_for:
                seal.add(STATE, result.state)
                self._put(shard, SEALS, seal.digest()[None])
            self._put(shard, STATE, result.state)

    def forget(self, shard: Shard) -> None:
        """Remove a shard, so that the next run encodes it again."""
        self.folder.remove(layout.COMPLETE)
        self._erase(shard)

    def forget_listing(self, split: str) -> None:
        """Remove ids and labels of a split, so that the next run writes them again."""
        self.folder.remove(layout.COMPLETE)
        for name in (IDS, LABELS):
            self.folder.remove_folder(layout.array(split, name))

    def require_complete(self) -> dict[str, int]:
        """Prove from the store that no row is missing, and count the unreadable ones of each split.

        Raises:
            CacheIncomplete: Rows are missing.
        """
        unreadable = {}
        for (split, rows), counts in zip(self.plan.rows.items(), together(self._counts, self.plan.rows), strict=True):
            if counts[MISSING]:
                message = f"{counts[MISSING]} of {rows} rows of {split} are missing in {self.folder.location}"
                raise CacheIncomplete(message)
            unreadable[split] = counts[UNREADABLE]
        return unreadable

    def digests(self) -> dict[str, str]:
        """SHA-256 of the files of a cache that no seal is of, but for prompt sets: metadata, listing, `bad/`."""
        arrays = (*EMBEDDINGS, CONTENT, SEALS, STATE, IDS, LABELS)
        names = layout.metadata_files(self.plan.rows, arrays)
        names += layout.listing_files(self.plan.rows)
        names += [layout.array(BAD, name) for name in self.folder.names(BAD)]
        found = together(self._digest, names)
        return {name: digest for name, digest in zip(names, found, strict=True) if digest}

    def _digest(self, name: str) -> str | None:
        try:
            return hashlib.sha256(self.folder.read(name)).hexdigest()
        except FileNotFoundError:  # not every split has views, or labels
            return None

    def _erase(self, shard: Shard) -> None:
        """Remove the chunks of a shard, the record of its completion first."""
        self.folder.remove(layout.chunk(shard, STATE, self.plan))
        rest = [layout.chunk(shard, name, self.plan) for name in (*EMBEDDINGS, CONTENT, SEALS)]
        self.folder.remove(*rest, layout.bad_file(shard))

    def _put(self, shard: Shard, name: str, values: np.ndarray) -> None:
        array, rows = self._array(shard.split, name), layout.rows(shard, name, self.plan)
        try:
            array[rows] = values
        except DAMAGE as error:
            if isinstance(error, OSError):
                raise
            # Before it writes a shard that is not full, as the last one, Zarr reads what is there, which is damaged.
            self.folder.remove(layout.chunk(shard, name, self.plan))
            array[rows] = values

    def _counts(self, split: str) -> Counter[int]:
        """How many rows of a split are in each state; those of a damaged record are missing."""
        counts: Counter[int] = Counter()
        for shard, states in shard_states(self._array(split, STATE), self.plan, split):
            if states is None:
                counts[MISSING] += len(shard)
            else:
                counts.update({state: int((states == state).sum()) for state in (MISSING, ENCODED, UNREADABLE)})
        return counts

    def _stored(self, embeddings: np.ndarray, state: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # told below
            stored = embeddings.astype(self._dtype)
        if not np.isfinite(stored[state == ENCODED]).all():
            largest = float(np.nanmax(np.abs(embeddings)))
            message = f"embeddings reach {largest:g}, more than {self._dtype} can hold; "
            raise CacheError(message + "type --dtype float32 and another --name")
        return stored

    def _array(self, split: str, name: str) -> zarr.Array[Any]:
        """An array of what is encoded; its metadata is read once."""
        where = layout.array(split, name)
        if where not in self._arrays:
            self._arrays[where] = array_in(self._group, where)
        return self._arrays[where]

    def _whole_group(self, split: str) -> None:
        """Write a split's group anew where it is missing or damaged; its arrays stay."""
        try:
            if isinstance(self._group[split], zarr.Group):
                return
        except DAMAGE:
            pass
        place = layout.array(split, ROOT_GROUP)
        self.folder.remove(place)
        self.folder.write_json(place, layout.GROUP)

    def _create(self, split: str, name: str, how: dict[str, Any]) -> zarr.Array[Any]:
        place = layout.array(split, name)
        try:
            if place in self._group:
                return array_in(self._group, place)
        except DAMAGE:  # of its metadata, which follows from the manifest; chunks stay
            self.folder.remove(layout.array(place, ROOT_GROUP))
        return self._group.create_array(place, **how)

    def _listing(self, split: str, name: str, values: np.ndarray, how: dict[str, Any]) -> None:
        array = self._create(split, name, how)
        for rows in blocks(len(values), LISTING_BLOCK):
            if not _holds(array, rows, values[rows]):
                array[rows] = values[rows]


def shards_left(folder: Folder, plan: ShardPlan) -> list[Shard]:
    """The shards of a cache that are not done; of what has no array yet, all."""
    if not folder.exists(ROOT_GROUP):
        return [shard for split in plan.rows for shard in plan.shards(split)]
    group, left = folder.group("r"), list[Shard]()
    for split in plan.rows:
        states = layout.array(split, STATE)
        left += pending_shards(array_in(group, states), plan, split)[0] if states in group else plan.shards(split)
    return left


def pending_shards(states: zarr.Array[Any], plan: ShardPlan, split: str) -> tuple[list[Shard], list[Shard]]:
    """The shards of a split that are not done, by its states; in order, and those of them whose record is damaged."""
    pending, damaged = list[Shard](), list[Shard]()
    for shard, state in shard_states(states, plan, split):
        if state is None:
            damaged.append(shard)
        if state is None or (state == MISSING).any():
            pending.append(shard)
    return pending, damaged


def shard_states(array: zarr.Array[Any], plan: ShardPlan, split: str) -> Iterator[tuple[Shard, np.ndarray | None]]:
    """Each shard of a split, in order, with the states (R,) of its rows; None where its record is damaged.

    Records are read many at once, for each alone costs Zarr as much as many do, and yet few megabytes at a time.
    """
    shards = list(plan.shards(split))
    for block in blocks(len(shards), max(1, STATES_AT_ONCE // plan.rows_per_shard)):
        yield from zip(shards[block], _read_states(array, shards[block]), strict=True)


def _read_states(array: zarr.Array[Any], shards: list[Shard]) -> list[np.ndarray | None]:
    """The states of each of these shards, which follow one another."""
    first = shards[0].start
    try:
        states = np.asarray(array[first : shards[-1].stop])
    except DAMAGE:
        return [None] if len(shards) == 1 else [_read_states(array, [shard])[0] for shard in shards]
    return [states[shard.start - first : shard.stop - first] for shard in shards]


def _holds(array: zarr.Array[Any], rows: slice, values: np.ndarray) -> bool:
    """Whether these rows of an array can be read and are these values."""
    try:
        return np.array_equal(np.asarray(array[rows]), values)
    except DAMAGE:
        return False


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
