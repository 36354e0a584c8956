"""Some rows of one split of a cache: shots, validation images, a whole test split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.errors import TaskError
from adapters.support import UNLABELLED

if TYPE_CHECKING:
    from featcache.cache.reading import Cache
    from featcache.cache.split import CachedSplit

BLOCK = 16_384
"""Rows that are read together where a split need not be in memory as a whole."""


class Stored:
    """The images or ids of some rows of a split, read when asked for: a slice, or all of them by `np.asarray`.

    Args:
        split: of a cache.
        what: `images` or `ids`.
        rows: their row numbers, (N,), ascending.
    """

    def __init__(self, split: CachedSplit, what: Literal["images", "ids"], rows: npt.NDArray[np.int64]) -> None:
        self._split, self._what, self._rows = split, what, rows

    def __getitem__(self, which: slice) -> npt.NDArray[Any]:
        rows = self._rows[which]
        in_a_row = len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows)
        asked = slice(int(rows[0]), int(rows[-1]) + 1) if in_a_row else rows
        if self._what == "ids":
            return np.asarray(self._split.take_ids(asked))
        return directed(self._split.take_images(asked), self._split, rows)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All of them; where that is all of the split, the split's own array, which other tasks share."""
        if len(self._rows) < len(self._split):
            return np.asarray(self[:], dtype)
        values = getattr(self._split, self._what)
        return np.asarray(values if self._what == "ids" else directed(values, self._split, self._rows), dtype)


def directed(values: npt.NDArray[np.float32], split: CachedSplit, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Embeddings (N, D) or (N, V, D) of these rows (N,) of a split, each of which has a direction.

    Raises:
        TaskError: one is all zeros, which no image gives; the message names its row and id.
    """
    zero = ~values.any(axis=-1)
    if zero.any():
        row = int(rows[np.flatnonzero(zero.reshape(len(values), -1).any(axis=1))[0]])
        name = split.take_ids(np.array([row]))[0]
        raise TaskError(
            f"row {row} of {split.name} ({name}) is all zeros; expected an embedding, which has a direction: "
            "extract that image again under another --name"
        )
    return values


@dataclass(frozen=True, eq=False)
class SplitRows:
    """Some rows of one split.

    Attributes:
        features: raw embeddings of the plain view, (N, D) float32, an array or read when asked for.
        views: raw embeddings of the augmented views, (N, V, D) float32; None where the cache has none.
        labels: class indices, (N,).
        names: what the data set calls the images, (N,) strings, an array or read when asked for.
        rows: their row numbers in the split, (N,).
    """

    features: npt.NDArray[np.float32] | Stored
    views: npt.NDArray[np.float32] | None
    labels: npt.NDArray[np.int64]
    names: npt.NDArray[np.str_] | Stored
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        views = "" if self.views is None else f", {self.views.shape[1]} views each"
        return f"<{len(self)} rows of {len(np.unique(self.labels))} classes{views}>"

    @cached_property
    def images(self) -> npt.NDArray[np.float32]:
        """All `features` (N, D) at once; kept."""
        return np.asarray(self.features)

    @cached_property
    def ids(self) -> npt.NDArray[np.str_]:
        """All `names` (N,) at once; kept."""
        return np.asarray(self.names)

    @property
    def inputs(self) -> npt.NDArray[np.float32]:
        """What a head learns from: the views (N, V, D) where there are any, else the images (N, D)."""
        return self.images if self.views is None else self.views

    def followed_by(self, others: SplitRows) -> SplitRows:
        """These rows, then others that have no views: where these have any, all views of the others are the same."""
        views = None
        if self.views is not None:
            views = np.concatenate([self.views, np.repeat(others.images[:, None], self.views.shape[1], axis=1)])
        return SplitRows(
            np.concatenate([self.images, others.images]),
            views,
            np.concatenate([self.labels, others.labels]),
            np.concatenate([self.ids, others.ids]),
            np.concatenate([self.rows, others.rows]),
        )

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """`features` (B, D), a block after the other, each as large as the next or one row larger; none is kept."""
        features = vars(self).get("images", self.features)
        for rows in np.array_split(np.arange(len(self)), -(-len(self) // BLOCK)):
            yield features[int(rows[0]) : int(rows[-1]) + 1]


def read_split(cache: Cache, name: str) -> SplitRows:
    """Every valid row of a split that has a label, in the order of its listing, without views.

    Embeddings and ids are read when they are asked for: a test split may be large, and is gone through once.

    Raises:
        TaskError: the cache has no such split, or none of its rows can be scored.
    """
    if name not in cache.splits:
        raise TaskError(f"--split {name} given; cache {cache.name} has {', '.join(cache.splits)}")
    split = cache[name]
    rows = np.flatnonzero(split.labelled)
    if not len(rows):
        raise TaskError(
            f"no image of {name} in cache {cache.name} has a label: type `adapters suggest {cache.name} --csv FILE` "
            "for some to label, then give that file as --labels; or give another --cache"
        )
    return SplitRows(Stored(split, "images", rows), None, split.labels[rows], Stored(split, "ids", rows), rows)


def without_labels(rows: SplitRows) -> SplitRows:
    """The same rows, as if none of them had a label."""
    return replace(rows, labels=np.full(len(rows), UNLABELLED))


def read_rows(split: CachedSplit, rows: npt.NDArray[np.int64], *, with_views: bool) -> SplitRows:
    """Some rows of a split, reading no embedding but theirs.

    Raises:
        TaskError: an embedding is all zeros.
    """
    views = split.take_views(rows) if with_views else None
    return SplitRows(
        directed(split.take_images(rows), split, rows),
        views if views is None else directed(views, split, rows),
        split.labels[rows],
        split.take_ids(rows),
        rows,
    )
