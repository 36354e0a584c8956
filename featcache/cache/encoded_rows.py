"""Rows of a cache that have an embedding, whether it is finished or not: which images they are of, and themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import zarr

from featcache.cache import layout
from featcache.cache.layout import CONTENT, DAMAGE, ENCODED, STATE
from featcache.cache.metadata import Expected
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.split import CachedSplit
from featcache.cache.writing import shard_states
from featcache.errors import CacheError, CacheIncomplete
from featcache.ids import Ids
from featcache.places.folder import Folder, array_in
from featcache.places.together import MOST, together

UNUSABLE = (CacheError, *DAMAGE)
"""What reading a cache raises that is damaged, half there or gone."""


class Taken(NamedTuple):
    """R rows as they are stored.

    Attributes:
        images: (R, D) float32.
        views: (R, V, D) float32, or None if the split has none.
        content: (R, 16) uint8 digests of the images' files.
    """

    images: np.ndarray
    views: np.ndarray | None
    content: np.ndarray


class EncodedRows:
    """The rows of one cache.

    Args:
        folder: The cache's.
        manifest: Its manifest.

    Raises:
        CacheError: There are no arrays, or their metadata is damaged.
    """

    def __init__(self, folder: Folder, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, dict(manifest)
        self.plan = ShardPlan.from_manifest(manifest)
        self._group, self._splits = folder.group("r"), dict[str, CachedSplit]()

    def contents(self, split: str) -> Iterator[tuple[Shard, np.ndarray, np.ndarray]]:
        """Shards of a split, in order: digests (R, 16) of the files of their rows, and whether these are encoded (R,).

        Left out is what is not there yet, or damaged; of format 1, which has no digests, all.
        """
        place = layout.array(split, CONTENT)
        try:
            states = array_in(self._group, layout.array(split, STATE))
            contents = array_in(self._group, place)
        except DAMAGE:
            return
        window = []
        for shard, state in shard_states(states, self.plan, split):
            if state is not None and (state == ENCODED).any():
                window.append((shard, state == ENCODED))
            if len(window) == MOST:
                yield from self._read(contents, window)
                window = []
        yield from self._read(contents, window)

    def ids(self, split: str) -> Ids:
        """The ids of a split.

        Raises:
            CacheIncomplete: They are damaged, or not all there yet.
        """
        return Ids(self._split(split).take_padded_ids(slice(None)))

    def take(self, split: str, rows: np.ndarray, *, views: bool, kept: bool = False) -> Taken:
        """Some rows (R,), ascending, that are encoded. Zarr proves the checksum of each chunk that they lie in.

        Args:
            split: which split.
            rows: (R,).
            views: whether their views are wanted.
            kept: whether what is before the last projection is wanted, behind the embeddings.

        Raises:
            CacheError, OSError, ValueError and others (`UNUSABLE`): they are damaged, or the cache is gone.
        """
        of_split, content = self._split(split), self.digests(split, rows)
        images, of_views = of_split.take_images(rows), of_split.take_views(rows) if views else None
        if not kept:
            return Taken(images, of_views, content)
        before = of_split.take_pre_images(rows), of_split.take_pre_views(rows) if views else None
        return Taken(_side_by_side(images, before[0]), _side_by_side(of_views, before[1]), content)

    def digests(self, split: str, rows: np.ndarray) -> np.ndarray:
        """(R, 16) uint8 digests of the files of some rows (R,), ascending. Raises as `take`."""
        content = self._split(split).take_content(rows)
        if content is None:
            raise CacheIncomplete(f"{self.folder.location} has no digests of files")
        return content

    def take_ids(self, split: str, rows: np.ndarray) -> Ids:
        """The ids of some rows. Raises as `ids`."""
        return Ids(self._split(split).take_padded_ids(rows))

    def _split(self, split: str) -> CachedSplit:
        if split not in self._splits:
            group = self._group[split]
            assert isinstance(group, zarr.Group)
            self._splits[split] = CachedSplit(split, group, Expected(self.manifest, split))
        return self._splits[split]

    def _read(
        self, contents: zarr.Array[Any], window: list[tuple[Shard, np.ndarray]]
    ) -> Iterator[tuple[Shard, np.ndarray, np.ndarray]]:
        def read(shard: Shard) -> np.ndarray | None:
            try:
                return np.asarray(contents[shard.start : shard.stop])
            except DAMAGE:
                return None

        found = together(read, [shard for shard, _ in window])
        for (shard, encoded), content in zip(window, found, strict=True):
            if content is not None:
                yield shard, content, encoded & content.any(axis=1)


def _side_by_side(embeddings: np.ndarray | None, before: np.ndarray | None) -> Any:
    """Embeddings (..., D) with what is before the last projection behind them; None where there are none."""
    if embeddings is None or before is None:
        return embeddings
    return np.concatenate([embeddings, before], axis=-1)
