"""Accuracy and calibration of logits (N, C) against labels (N,), and 95 % intervals of shares and of differences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri  # scipy.stats takes a second to import

from adapters.errors import AdapterError

Interval = tuple[float, float]

LEVEL = 0.95
"""Of every interval."""
RESAMPLES = 2000
SEED = 0
"""Of the bootstrap's draws."""
BLOCK = 16_384
"""Rows whose probabilities are in memory together."""


class Reliability(NamedTuple):
    """Per confidence bin: number of rows, their accuracy and mean confidence (0 where a bin is empty)."""

    rows: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error, a fraction: the bins' |accuracy - confidence|, weighted by their rows."""
        return float((self.rows * np.abs(self.accuracy - self.confidence)).sum() / self.rows.sum())


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Probabilities (N, C) in double precision."""
    values = np.asarray(logits, dtype=np.float64)
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


def log_softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Logarithms of the probabilities (N, C) in double precision."""
    values = np.asarray(logits, dtype=np.float64)
    values = values - values.max(axis=-1, keepdims=True)
    return np.asarray(values - np.log(np.exp(values).sum(axis=-1, keepdims=True)))


def accuracy(logits: ArrayLike, y: ArrayLike) -> float:
    """Share of rows whose largest logit is the label's, a fraction; the first of equal logits counts."""
    scores, labels = _check(logits, y)
    return float((scores.argmax(1) == labels).mean())


def reliability(logits: ArrayLike, y: ArrayLike, bins: int = 15) -> Reliability:
    """Accuracy and confidence in equal-width bins (lo, hi] over the largest probability of each row."""
    scores, labels = _check(logits, y)
    confidence, best = _confidence(scores)
    right = best == labels
    # Left side: a confidence on an edge belongs to the bin that ends there.
    which = np.clip(np.searchsorted(np.linspace(0, 1, bins + 1), confidence, side="left") - 1, 0, bins - 1)
    rows = np.bincount(which, minlength=bins)
    filled = np.maximum(rows, 1)
    return Reliability(
        rows,
        np.bincount(which, weights=right, minlength=bins) / filled,
        np.bincount(which, weights=confidence, minlength=bins) / filled,
    )


def ece(logits: ArrayLike, y: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error, a fraction: the bins' |accuracy - confidence|, weighted by their rows."""
    return reliability(logits, y, bins).ece


def ece_equal_mass(logits: ArrayLike, y: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error over bins of equally many rows (the first ones may have one more), a fraction."""
    scores, labels = _check(logits, y)
    confidence, best = _confidence(scores)
    order = np.argsort(confidence, kind="stable")
    gaps = (best == labels)[order] - confidence[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(labels))


def wilson(right: int, rows: int) -> Interval:
    """Wilson's 95 % interval of a share."""
    z = ndtri((1 + LEVEL) / 2)
    share = right / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


@dataclass(frozen=True)
class Difference:
    """Accuracy of one head less that of another on the same rows, a fraction, with its 95 % interval."""

    accuracy: float
    interval: Interval

    @property
    def sure(self) -> bool:
        """Whether the interval excludes 0."""
        return not self.interval[0] <= 0 <= self.interval[1]

    def to_json(self) -> dict[str, Any]:
        """The difference as JSON-able values."""
        return {"accuracy": self.accuracy, "interval": list(self.interval)}


def difference(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> Difference:
    """The paired difference of two heads from which rows (N,) each got right.

    With b rows that only the first got right and c that only the other did, of N: Wald's interval with Agresti and
    Min's half a row added to each of the four cells (Statistics in Medicine, 2005),

        (b - c) / (N + 2) +- z sqrt((b + c + 1) - (b - c)^2 / (N + 2)) / (N + 2).
    """
    rows, gained, lost = len(right), int((right & ~other).sum()), int((other & ~right).sum())
    z, n = float(ndtri((1 + LEVEL) / 2)), rows + 2
    middle = (gained - lost) / n
    half = z * math.sqrt(gained + lost + 1 - (gained - lost) ** 2 / n) / n
    return Difference((gained - lost) / rows, (middle - half, middle + half))


def paired_interval(gains: NDArray[np.int8]) -> Interval:
    """95 % interval of the mean of paired differences (S, N): seeds and test rows drawn with replacement.

    Args:
        gains: of every seed and test row whether one head is right, less whether the other is: -1, 0 or 1.
    """
    generator = np.random.default_rng(SEED)
    seeds, rows = gains.shape
    weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    means = [gains[:, generator.integers(rows, size=rows)].mean(1) @ weight for weight in weights]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def row_blocks(rows: int) -> Iterator[slice]:
    """All rows in slices: what is made of (B, C) logits in double precision is small then, however many rows."""
    for start in range(0, rows, BLOCK):
        yield slice(start, start + BLOCK)


def _confidence(scores: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each row's largest probability (N,), and whose it is (N,)."""
    confidence, best = np.empty(len(scores)), np.empty(len(scores), np.int64)
    for rows in row_blocks(len(scores)):
        probability = softmax(scores[rows])
        confidence[rows], best[rows] = probability.max(1), probability.argmax(1)
    return confidence, best


def _check(logits: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    scores, labels = np.asarray(logits), np.asarray(y)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise AdapterError(f"expected logits (N, C) and labels (N,) with N > 0; got {scores.shape} and {labels.shape}")
    return scores, labels
