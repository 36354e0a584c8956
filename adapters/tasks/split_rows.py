"""Some rows of one split of a cache, read from disk: shots, validation images, a whole test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from adapters.errors import TaskError

if TYPE_CHECKING:
    from featcache.cache.reading import Cache, CachedSplit


@dataclass(frozen=True, eq=False)
class SplitRows:
    """Some rows of one split.

    Attributes:
        images: raw embeddings of the plain view, (N, D) float32.
        views: raw embeddings of the augmented views, (N, V, D) float32; None where the cache has none.
        labels: class indices, (N,).
        ids: what the data set calls the images, (N,).
        rows: their row numbers in the split, (N,).
    """

    images: npt.NDArray[np.float32]
    views: npt.NDArray[np.float32] | None
    labels: npt.NDArray[np.int64]
    ids: npt.NDArray[np.str_]
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> npt.NDArray[np.float32]:
        """What a head learns from: the views (N, V, D) where there are any, else the images (N, D)."""
        return self.images if self.views is None else self.views


def read_split(cache: Cache, name: str) -> SplitRows:
    """Every valid row of a split that has a label, in the order of its listing, without views.

    Raises:
        TaskError: the cache has no such split.
    """
    if name not in cache.splits:
        raise TaskError(f"--split {name} given; cache {cache.name} has {', '.join(cache.splits)}")
    split = cache[name]
    return read_rows(split, np.flatnonzero(split.labelled), with_views=False)


def read_rows(split: CachedSplit, rows: npt.NDArray[np.int64], *, with_views: bool) -> SplitRows:
    """Some rows of a split, reading no embedding but theirs."""
    in_order = np.array_equal(rows, np.arange(len(split)))  # the whole split: one contiguous read
    return SplitRows(
        images=split.images if in_order else split.take_images(rows),
        views=split.take_views(rows) if with_views else None,
        labels=split.labels[rows],
        ids=split.ids[rows],
        rows=rows,
    )
