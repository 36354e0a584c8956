"""How well a fitted head does on rows whose labels it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

from adapters import metrics
from adapters.arrays import Floats, Ints
from adapters.head import Head


@dataclass(frozen=True)
class Scores:
    """Accuracy and expected calibration error (15 bins), fractions in [0, 1]."""

    accuracy: float
    ece: float


def score(head: Head, images: Floats, labels: Ints) -> Scores:
    """Score a fitted head on raw features (N, D) and class indices (N,)."""
    return score_logits(head.decision_function(images) / head.temperature_, labels)


def score_logits(logits: Floats, labels: Ints) -> Scores:
    """Score logits (N, C) against labels (N,)."""
    return Scores(float(metrics.accuracy(logits, labels)), float(metrics.ece(logits, labels)))
