"""Seeded splits and subsets that keep the classes' proportions.

Rows are ordered by the sha256 of seed and id, not by a random generator: the order depends on nothing but the two, so
it is the same on every machine and under every version of NumPy, and a new image leaves the others where they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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


def split_rows(ids: Sequence[str], labels: Labels, seed: int) -> dict[str, Rows]:
    """Split every class 50/20/30 into train, val and test (`FRACTIONS`), rounded as CoOp rounds.

    A class with few images has at least one in train, then in test (from 2 images), then in val (from 3).

    Returns:
        Row positions of each split, ascending.
    """
    ranks = seeded_ranks(ids, labels, seed)
    counts = np.bincount(labels)
    train, val = np.zeros_like(counts), np.zeros_like(counts)
    for label, count in enumerate(counts.tolist()):
        n_val = max(1, round(count * FRACTIONS["val"])) if count >= 3 else 0
        n_test = max(1, count - round(count * FRACTIONS["train"]) - n_val) if count >= 2 else 0
        train[label], val[label] = count - n_val - n_test, n_val
    to_train = ranks < train[labels]
    to_val = ~to_train & (ranks < (train + val)[labels])
    return {
        "train": np.flatnonzero(to_train),
        "val": np.flatnonzero(to_val),
        "test": np.flatnonzero(~to_train & ~to_val),
    }


def carve_rows(ids: Sequence[str], labels: Labels, seed: int) -> tuple[Rows, Rows]:
    """Take 20 % of every class (`VALIDATION_FRACTION`) for validation; a class with one image keeps it.

    Returns:
        Row positions that stay and row positions taken, both ascending.
    """
    ranks = seeded_ranks(ids, labels, seed)
    counts = np.bincount(labels).tolist()
    taken = np.array([max(1, round(n * VALIDATION_FRACTION)) if n >= 2 else 0 for n in counts], dtype=np.int64)
    to_val = ranks < taken[labels]
    return np.flatnonzero(~to_val), np.flatnonzero(to_val)


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
