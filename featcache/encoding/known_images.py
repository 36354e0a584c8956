"""Images that caches have embeddings of already: an index of the digests of their files, and the rows themselves.

Whoever asks says which caches were made alike. Of a split with augmented views the image's id has to be the same too,
which the views are drawn by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ctypes import c_bool
from multiprocessing.sharedctypes import RawArray
from typing import NamedTuple

import numpy as np

from featcache.cache.catalogue import Listed
from featcache.cache.encoded_rows import UNUSABLE, EncodedRows
from featcache.cache.layout import MANIFEST
from featcache.cache.manifest import views_of
from featcache.errors import CacheError
from featcache.ids import Ids, mixed_bytes
from featcache.places.folder import Folder

MOST_ROWS = 2**25
"""Rows of the index, at most, of the caches finished last: 16 bytes each, which decoding processes share."""
UNKNOWN = -1
"""Stands for the place of an image that no cache has."""


class Part(NamedTuple):
    """A split of a cache, whose rows have places from `start` on."""

    cache: int
    split: str
    start: int


class Table(NamedTuple):
    """Keys (M,) uint64, ascending, and the place (M,) int64 of each; of equal ones the cache finished last is first."""

    keys: np.ndarray
    places: np.ndarray


class Found(NamedTuple):
    """R rows of a split with the embeddings that caches have of them.

    Attributes:
        images: (R, D) float32; anything where `taken` is false.
        views: (R, V, D) float32, or None.
        taken: (R,) booleans: which rows were found undamaged.
    """

    images: np.ndarray
    views: np.ndarray | None
    taken: np.ndarray


class KnownImages:
    """Where images are that caches have embeddings of.

    Args:
        caches: Those that were made alike, the best first.
        views: V of each split of what is made.
        of_this_set: Which of the caches are of the data set that is asked for: images that are no files are looked for
            in these alone, since the same bytes are another picture where they have another shape.
        kept: Whether what is before the last projection is taken too, behind the embeddings.
    """

    def __init__(
        self,
        caches: Sequence[EncodedRows],
        views: Mapping[str, int],
        of_this_set: Sequence[bool],
        *,
        kept: bool = False,
    ) -> None:
        self._kept = kept
        self._caches, self._views, self._of_this_set = caches, views, of_this_set
        # Shared with decoding processes, so that they stop to rely on a cache that is gone.
        self._usable = RawArray(c_bool, [True] * len(caches))
        self._parts, start = list[Part](), 0
        for number, cache in enumerate(caches):
            for split, rows in cache.plan.rows.items():
                self._parts.append(Part(number, split, start))
                start += rows
        self._starts = np.array([part.start for part in self._parts], np.int64)
        self._plain, self._with_views = self._table(with_views=False), self._table(with_views=True)

    def __len__(self) -> int:
        return len(self._plain.keys) + len(self._with_views.keys)

    def find(self, split: str, image_id: str, raw: object, content: bytes) -> int:
        """The place of an image; `UNKNOWN` where no cache has it.

        Args:
            split: Of what is made.
            image_id: The image's.
            raw: As its reader gives it.
            content: The digest of that.
        """
        with_views = split in self._views
        table = self._with_views if with_views else self._plain
        if not len(table.keys) or not isinstance(raw, bytes | np.ndarray):
            return UNKNOWN
        key = np.frombuffer(content[:8], "<u8")[0]
        if with_views:
            key ^= mixed_bytes([Ids.of([image_id])])[0]
        at = int(np.searchsorted(table.keys, key))
        while at < len(table.keys) and table.keys[at] == key:
            cache = self._part(table.places[at]).cache
            if self._usable[cache] and (isinstance(raw, bytes) or self._of_this_set[cache]):
                return int(table.places[at])
            at += 1
        return UNKNOWN

    def take(self, split: str, places: np.ndarray, contents: np.ndarray, ids: np.ndarray, dim: int) -> Found:
        """The embeddings at places (R,) that `find` gave, where they are sound and of these very images.

        Args:
            split: Of what is made.
            places: (R,).
            contents: (R, 16) digests of the images' files.
            ids: (R, W) of the images.
            dim: D.
        """
        count = self._views.get(split, 0)
        images = np.zeros((len(places), dim), np.float32)
        views = np.zeros((len(places), count, dim), np.float32) if count else None
        taken = np.zeros(len(places), bool)
        for part, rows, mine in self._by_shard(places):
            cache = self._caches[part.cache]
            try:
                there = cache.take(part.split, rows, views=bool(count), kept=self._kept)
                same = (there.content == contents[mine]).all(axis=1) & np.isfinite(there.images).all(axis=1)
                if count:
                    same &= np.array(list(cache.take_ids(part.split, rows))) == np.array(list(Ids(ids[mine])))
            except UNUSABLE:  # it is damaged there: encoded anew
                self._usable[part.cache] &= _is_there(cache.folder)
                continue
            images[mine], taken[mine] = there.images, same
            if views is not None and there.views is not None:
                views[mine] = there.views
        return Found(images, views, taken)

    def caches_at(self, places: Iterable[int]) -> list[str]:
        """The names of the caches that places are in."""
        return [str(self._caches[self._part(place).cache].manifest["name"]) for place in places]

    def _by_shard(self, places: np.ndarray) -> Iterator[tuple[Part, np.ndarray, np.ndarray]]:
        """Of each shard that places (R,) lie in: its part, rows there (ascending), and which of the R.

        A shard by itself: where one is damaged, the others are taken.
        """
        order = np.argsort(places, kind="stable")
        numbers = np.searchsorted(self._starts, places[order], side="right") - 1
        rows = places[order] - self._starts[numbers]
        per_shard = np.array([cache.plan.rows_per_shard for cache in self._caches], np.int64)
        shards = rows // per_shard[np.array([part.cache for part in self._parts])[numbers]]
        ends = np.flatnonzero((np.diff(numbers) != 0) | (np.diff(shards) != 0)) + 1
        for of_shard in np.split(np.arange(len(order)), ends):
            if len(of_shard):
                yield self._parts[numbers[of_shard[0]]], rows[of_shard], order[of_shard]

    def _part(self, place: int) -> Part:
        return self._parts[int(np.searchsorted(self._starts, place, side="right")) - 1]

    def _table(self, *, with_views: bool) -> Table:
        keys, places, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], 0
        for part in self._parts:
            cache = self._caches[part.cache]
            if with_views and (not self._views or part.split not in views_of(cache.manifest["identity"])):
                continue
            try:
                ids = cache.ids(part.split) if with_views else None
                for shard, content, encoded in cache.contents(part.split):
                    of_shard = np.ascontiguousarray(content[:, :8]).view("<u8")[:, 0][encoded]
                    if ids is not None:
                        of_shard = of_shard ^ mixed_bytes([ids.take(shard.start + np.flatnonzero(encoded))])
                    keys.append(of_shard[: MOST_ROWS - rows])
                    places.append((part.start + shard.start + np.flatnonzero(encoded))[: MOST_ROWS - rows])
                    rows += len(keys[-1])
            except UNUSABLE:
                continue
        every = np.concatenate(keys)
        order = np.argsort(every, kind="stable")
        return Table(every[order], np.concatenate(places)[order])


def known_images(
    caches: Iterable[tuple[Listed, bool]], views: Mapping[str, int], *, kept: bool = False
) -> KnownImages | None:
    """The images of caches; None where there is no such image.

    Args:
        caches: Those that were made alike, the best first, and whether each is of the data set that is asked for.
        views: V of each split of what is made.
        kept: Whether what is before the last projection is taken too; all of the caches have it then.
    """
    found, of_this_set = [], []
    for listed, same_set in caches:
        try:
            found.append(EncodedRows(Folder(listed.path), listed.manifest))
        except CacheError:  # begun, and has no arrays yet; or damaged
            continue
        of_this_set.append(same_set)
    if not found:
        return None
    known = KnownImages(found, views, of_this_set, kept=kept)
    return known if len(known) else None


def _is_there(folder: Folder) -> bool:
    try:
        return folder.exists(MANIFEST)
    except CacheError:  # behind a URL that does not answer
        return False
