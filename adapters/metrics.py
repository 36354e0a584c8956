"""Accuracy and calibration of logits (N, C) against labels (N,)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adapters.errors import AdapterError


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
    probability = softmax(scores)
    confidence = probability.max(1)
    right = probability.argmax(1) == labels
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
    probability = softmax(scores)
    confidence = probability.max(1)
    order = np.argsort(confidence, kind="stable")
    gaps = (probability.argmax(1) == labels)[order] - confidence[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(labels))


def _check(logits: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores, labels = np.asarray(logits, dtype=np.float64), np.asarray(y)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise AdapterError(f"expected logits (N, C) and labels (N,) with N > 0; got {scores.shape} and {labels.shape}")
    return scores, labels
