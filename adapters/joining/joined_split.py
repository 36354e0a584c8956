"""One split of joined caches: what `CachedSplit` gives, its embeddings side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from adapters.arrays import Floats, Ints, unit
from featcache.cache.split import CachedSplit


class JoinedSplit(CachedSplit):
    """The rows of the first cache's split; ids, labels and files' digests are its own.

    Args:
        parts: the same split of every cache.
        rows: of every cache, its row for each row of the first (N,); None where they are in the same order.
        weights: of every cache, see `JoinedCache`.
    """

    def __init__(self, parts: Sequence[CachedSplit], rows: Sequence[Ints | None], weights: Sequence[float]) -> None:
        self.name = parts[0].name
        self._parts, self._rows, self._weights = parts, rows, weights

    def __len__(self) -> int:
        return len(self._parts[0])

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} rows of {len(self._parts)} encoders>"

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64: the first cache's, mended where those are."""
        return self._parts[0].labels

    @cached_property
    def stored_labels(self) -> np.ndarray:
        """(N,) int64: the first cache's."""
        return self._parts[0].stored_labels

    @cached_property
    def content(self) -> np.ndarray | None:
        """(N, 16) uint8: the first cache's."""
        return self._parts[0].content

    @cached_property
    def views(self) -> np.ndarray | None:
        """(N, V, ΣD) float32, or None unless every cache has as many."""
        return self.take_views(slice(None))

    def take_images(self, rows: np.ndarray | slice) -> np.ndarray:
        """(R, ΣD) float32: unit rows, or NaN where an image could not be read for one of the caches."""
        return side_by_side([part.take_images(where) for part, where in self._places(rows)], self._weights)

    def take_views(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """(R, V, ΣD) float32, or None unless every cache has as many."""
        found = [part.take_views(where) for part, where in self._places(rows)]
        views = [each for each in found if each is not None]
        if len(views) < len(found) or len({each.shape[1] for each in views}) > 1:
            return None
        return side_by_side(views, self._weights)

    def take_padded_ids(self, rows: np.ndarray | slice) -> np.ndarray:
        """(R, W) uint8: the first cache's."""
        return self._parts[0].take_padded_ids(rows)

    def take_content(self, rows: np.ndarray | slice) -> np.ndarray | None:
        """(R, 16) uint8: the first cache's."""
        return self._parts[0].take_content(rows)

    def unread(self) -> list[str]:
        """Nothing: `JoinedCache.load` lets each cache read its own."""
        return []

    def _take_valid(self, rows: np.ndarray | slice) -> np.ndarray:
        return np.asarray(np.logical_and.reduce([part.valid[where] for part, where in self._places(rows)]))

    def _places(self, rows: np.ndarray | slice) -> list[tuple[CachedSplit, np.ndarray | slice]]:
        """Every cache's split, and where there those rows are."""
        return [
            (part, rows if order is None else order[rows]) for part, order in zip(self._parts, self._rows, strict=True)
        ]


def side_by_side(blocks: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """Rows (..., ΣD) of the embeddings (..., D_m) that M encoders gave, as `JoinedCache` defines them.

    A row that one of the encoders gave no direction is all zeros, as its own embedding is.
    """
    units = [unit(block) for block in blocks]
    whole = np.concatenate([np.float32(np.sqrt(w)) * rows for w, rows in zip(weights, units, strict=True)], axis=-1)
    whole[~np.logical_and.reduce([rows.any(axis=-1) for w, rows in zip(weights, units, strict=True) if w])] = 0
    return np.asarray(whole, dtype=np.float32)
