"""Seeded splits and subsets that keep the classes' proportions.

Rows are ordered by the sha256 of seed and id, not by a random generator: the order depends on nothing but the two, so
it is the same on every machine and under every version of NumPy, and a new image leaves the others where they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from featcache.ids import Ids

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

FRACTIONS = {"train": 0.5, "val": 0.2, "test": 0.3}
"""CoOp's proportions where a data set has no split of its own."""

VALIDATION_FRACTION = 0.2
"""CoOp's share of the training split where a data set has no validation split."""


def seeded_ranks(ids: Sequence[str], labels: Labels, seed: int) -> Labels:
    """(N,) each row's rank among the rows of its class, in the seeded order; 0 comes first."""
    keys = np.fromiter((hashlib.sha256(f"{seed}\0{i}".encode()).digest()[:16] for i in ids), "S16", count=len(ids))
    order = np.lexsort((keys, labels))
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(starts, counts)
    return ranks


def split_rows(ids: Sequence[str], labels: Labels, seed: int, fixed: Labels | None = None) -> dict[str, Rows]:
    """Split every class 50/20/30 into train, val and test (`FRACTIONS`), rounded as CoOp rounds.

    A class with few images has at least one in train, then in test (from 2 images), then in val (from 3).

    Args:
        ids: (N,).
        labels: (N,).
        seed: Orders the rows of a class.
        fixed: (N,) the split that a row stays in, by its place in `FRACTIONS`; -1 for those that are free. Free rows
            fill up what their class lacks of each split. None: all are free.

    Returns:
        Row positions of each split, ascending.
    """
    sizes = np.zeros((_classes(labels), len(FRACTIONS)), np.int64)
    for label, count in enumerate(np.bincount(labels).tolist()):
        n_val = max(1, round(count * FRACTIONS["val"])) if count >= 3 else 0
        n_test = max(1, count - round(count * FRACTIONS["train"]) - n_val) if count >= 2 else 0
        sizes[label] = count - n_val - n_test, n_val, n_test
    parts = _divided(ids, labels, seed, sizes, fixed)
    return {name: np.flatnonzero(parts == place) for place, name in enumerate(FRACTIONS)}


def carve_rows(ids: Sequence[str], labels: Labels, seed: int, fixed: Labels | None = None) -> tuple[Rows, Rows]:
    """Take 20 % of every class (`VALIDATION_FRACTION`) for validation; a class with one image keeps it.

    Args:
        ids: (N,).
        labels: (N,).
        seed: Orders the rows of a class.
        fixed: (N,) 0 for a row that stays, 1 for one that is taken, -1 for those that are free; None: all are.

    Returns:
        Row positions that stay and row positions taken, both ascending.
    """
    counts = np.bincount(labels).tolist()
    taken = [max(1, round(n * VALIDATION_FRACTION)) if n >= 2 else 0 for n in counts]
    # Taken first, so that the first rows of the seeded order are.
    sizes = np.array([(v, n - v) for v, n in zip(taken, counts, strict=True)], np.int64).reshape(-1, 2)
    parts = _divided(ids, labels, seed, sizes, None if fixed is None else np.where(fixed < 0, -1, 1 - fixed))
    return np.flatnonzero(parts == 1), np.flatnonzero(parts == 0)


def _classes(labels: Labels) -> int:
    return int(labels.max()) + 1 if len(labels) else 0


def _divided(ids: Sequence[str], labels: Labels, seed: int, sizes: Labels, fixed: Labels | None) -> Labels:
    """(N,) the part of each row: the free rows of a class, in the seeded order, fill up one part after the other.

    Args:
        ids: (N,).
        labels: (N,).
        seed: Of the order.
        sizes: (C, P) rows of each part of each class, that add up to those of the class.
        fixed: (N,) parts of rows that have one; -1 for the others; None: none has.
    """
    parts = np.full(len(labels), -1) if fixed is None else fixed.copy()
    free = np.flatnonzero(parts < 0)
    there = np.zeros_like(sizes)
    np.add.at(there, (labels[parts >= 0], parts[parts >= 0]), 1)
    lacking = np.maximum(sizes - there, 0)
    # A part that holds more than its share leaves less than they lack for the others: the largest gives way.
    over = lacking.sum(1) - np.bincount(labels[free], minlength=len(sizes))
    for label in np.flatnonzero(over > 0).tolist():
        for _ in range(int(over[label])):
            lacking[label, len(lacking[label]) - 1 - int(lacking[label][::-1].argmax())] -= 1
    of_free = labels[free]
    ranks = seeded_ranks(Ids.of(ids).take(free), of_free, seed)
    parts[free] = (ranks[:, None] >= lacking.cumsum(1)[of_free]).sum(1)
    return parts


def balanced_rows(ids: Sequence[str], labels: Labels, n: int, seed: int) -> Rows:
    """Choose `n` of N rows, as equally over the classes as they allow; ascending, and nested in `n`.

    Round-robin: first every class's first row, then every class's second one, and so on, within a round in a seeded
    order of the classes, until `n` are chosen.
    """
    ranks = seeded_ranks(ids, labels, seed)
    there, which = np.unique(labels, return_inverse=True)
    keys = [hashlib.sha256(f"{seed}\0class {label}".encode()).digest() for label in there.tolist()]
    turn = np.empty(len(there), dtype=np.int64)
    turn[sorted(range(len(there)), key=keys.__getitem__)] = np.arange(len(there))
    order = np.lexsort((turn[which], ranks))
    return np.sort(order[:n])
