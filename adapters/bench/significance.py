"""Paired bootstrap over test images and seeds: which methods cannot be told from the best.

Every resample draws the test images of each cache with replacement, and the seeds with replacement; the draws are the
same for all methods, shots and parts of the protocol, so that what is easy or hard for all cancels in differences.

    accuracy of a part in a resample = sum_i w_i right_i / sum_i w_i tested_i,   w_i: how often image i was drawn
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from adapters.bench.store import Record
from adapters.metrics import LEVEL, Interval

RESAMPLES = 1000
_SEED = 0
_BLOCK, _COLUMNS = 64, 512  # resamples and results at once: bounded memory whatever the test split

Array = npt.NDArray[np.float64]
K = TypeVar("K", bound=Hashable)


def resampled_accuracies(records: Mapping[K, Record], resamples: int = RESAMPLES) -> dict[K, Array]:
    """Accuracy (B,) of every record in B resamples of the test images of its cache."""
    groups: defaultdict[tuple[str, int], list[K]] = defaultdict(list)
    for key, record in records.items():
        groups[record.row.test_digest, len(record.tested)].append(key)
    found: dict[K, Array] = {}
    for (digest, rows), keys in groups.items():
        for start in range(0, len(keys), _COLUMNS):
            some = keys[start : start + _COLUMNS]
            masks, of_result = _distinct([records[key].tested for key in some])
            right = np.zeros((rows, len(some)), np.float32)
            for column, key in enumerate(some):
                right[records[key].tested, column] = records[key].correct
            blocks = [
                (drawn @ right) / np.maximum(drawn @ masks, 1)[:, of_result]
                for drawn in _draws(digest, rows, resamples)
            ]
            found.update(zip(some, np.concatenate(blocks).astype(np.float64).T, strict=True))
    return found


def seed_weights(seeds: int, resamples: int = RESAMPLES) -> Array:
    """Weights (B, S) of the seeds in B resamples of them; each row sums to 1."""
    generator = np.random.default_rng(_SEED)
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds


def interval_of(differences: Array) -> Interval:
    """The interval at `LEVEL` of differences (B,) in resamples."""
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def tied_with(best: Array, other: Array) -> bool:
    """Whether the interval of the difference best - other (B,) contains 0 or less."""
    return interval_of(best - other)[0] <= 0


def _distinct(masks: Sequence[npt.NDArray[np.bool_]]) -> tuple[npt.NDArray[np.float32], list[int]]:
    """The distinct masks as columns (N, M), and the column of each: most results are of the same rows."""
    columns: dict[bytes, int] = {}
    of_result = [columns.setdefault(mask.tobytes(), len(columns)) for mask in masks]
    first = [of_result.index(column) for column in range(len(columns))]
    return np.stack([masks[index] for index in first], axis=1).astype(np.float32), of_result


def _draws(digest: str, rows: int, resamples: int) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks (b, N) of how often each test image is drawn; the same for the same test split."""
    generator = np.random.default_rng([_SEED, zlib.crc32(digest.encode())])
    for start in range(0, resamples, _BLOCK):
        block = min(_BLOCK, resamples - start)
        drawn = generator.integers(rows, size=(block, rows)) + rows * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * rows).reshape(block, rows).astype(np.float32)
