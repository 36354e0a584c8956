"""Which row of one cache is which row of another, by the images' ids; and the first thing in which they differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from adapters.arrays import Ints
from adapters.errors import TaskError
from featcache.cache.layout import UNLABELLED
from featcache.origin import imported

if TYPE_CHECKING:
    from featcache.cache.reading import Cache

ADVICE = (
    "expected caches of the same images: extract one data set with each encoder, with the same --splits and --limit"
)


def matching_rows(first: Cache, other: Cache) -> dict[str, Ints | None]:
    """The row in `other` of every row of `first`, by split (N,); None where the two are in the same order.

    The files' digests are compared where both caches were extracted: those of an import are of its embeddings.

    Raises:
        TaskError: they are not of the same images and classes: the first difference.
    """
    for difference in _of_classes(first, other):
        raise TaskError(f"caches {first.name} and {other.name} cannot be joined: {difference}; {ADVICE}")
    rows = {}
    for split in first.splits:
        for difference in _of_ids(first, other, split):
            raise TaskError(f"caches {first.name} and {other.name} cannot be joined: {difference}; {ADVICE}")
        rows[split] = _order(first[split].ids, other[split].ids)
        for difference in _of_rows(first, other, split, rows[split]):
            raise TaskError(f"caches {first.name} and {other.name} cannot be joined: {difference}; {ADVICE}")
    return rows


def _of_classes(first: Cache, other: Cache) -> Iterator[str]:
    if sorted(first.splits) != sorted(other.splits):
        yield f"the splits are {', '.join(first.splits)} and {', '.join(other.splits)}"
    if not first.class_names or not other.class_names:  # nobody labelled the images of one of them
        return
    for number, (own, its) in enumerate(zip_longest(first.class_names, other.class_names)):
        if own != its:
            yield f"class {number} is {own or 'none'} and {its or 'none'}"


def _of_ids(first: Cache, other: Cache, split: str) -> Iterator[str]:
    own, its = first[split].ids, other[split].ids
    if np.array_equal(own, its):
        return
    for name, ids, lacking, others in ((first.name, own, other.name, its), (other.name, its, first.name, own)):
        missing = ~np.isin(ids, others)
        if missing.any():
            yield f"{split} of {name} has {ids[missing][0]}, which {lacking} lacks"
    for name, ids in ((first.name, own), (other.name, its)):
        names, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            yield f"{split} of {name} has {names[counts > 1][0]} twice, in another order"


def _order(own: np.ndarray, its: np.ndarray) -> Ints | None:
    if np.array_equal(own, its):
        return None
    order = np.argsort(its)
    return np.asarray(order[np.searchsorted(its[order], own)], dtype=np.int64)


def _of_rows(first: Cache, other: Cache, split: str, rows: Ints | None) -> Iterator[str]:
    mine, part = first[split], other[split]
    where = np.arange(len(mine)) if rows is None else rows
    own, its = mine.stored_labels, part.stored_labels[where]
    if first.class_names and other.class_names:
        differ = (own != its) & (own != UNLABELLED) & (its != UNLABELLED)
        for row in np.flatnonzero(differ).tolist():
            labels = first.class_names[own[row]], first.class_names[its[row]]
            yield f"{mine.ids[row]} of {split} is {labels[0]} and {labels[1]}"
    if imported(first.manifest) or imported(other.manifest) or mine.content is None or part.content is None:
        return
    both = mine.valid & part.valid[where]
    for row in np.flatnonzero(both & (mine.content != part.content[where]).any(axis=1)).tolist():
        yield f"{mine.ids[row]} of {split} is another file"
