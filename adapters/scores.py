"""How well a fitted head does on rows whose labels it has not seen, with how sure that is.

With p (N, C) the probabilities, y the labels, n_c the rows of class c:

    accuracy           share of rows that are right; 95 % interval of Wilson (1927)
    balanced accuracy  mean over the classes that have rows of the share of theirs that are right; 95 % interval of the
                       bootstrap that draws n_c rows of each class c
    macro F1           mean over classes with rows or predictions of 2 TP / (2 TP + FP + FN)
    top-5              share of rows whose class is among the five most probable; where C >= 10
    NLL                -mean_i log p_i[y_i]
    Brier              mean_i sum_c (p_ic - [y_i = c])^2
    ECE                15 bins of equally many rows, by the largest probability (Nguyen and O'Connor, 1508.05154)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import metrics
from adapters.arrays import Floats, Ints
from adapters.head import Head
from adapters.metrics import LEVEL, RESAMPLES, SEED, Interval, row_blocks, wilson

TOP, TOP_CLASSES = 5, 10
"""Top-5 is given where there are at least so many classes."""


@dataclass(frozen=True)
class Scores:
    """Scores of a split; all but the log-likelihood are fractions, and intervals are pairs of ends."""

    rows: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    balanced_accuracy_interval: Interval
    macro_f1: float
    top5: float | None
    nll: float
    brier: float
    ece: float

    def to_json(self) -> dict[str, Any]:
        """The scores as JSON-able values under the names above."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def tempered_logits(head: Head, images: Floats) -> Floats:
    """What a fitted head's probabilities are the soft-max of, (N, C), of raw features (N, D)."""
    return head.decision_function(images) / head.temperature_


def logits_in_blocks(heads: Sequence[Head], blocks: Iterable[Floats]) -> list[Floats]:
    """The `tempered_logits` (N, C) of each head, of raw features that come in blocks (B, D)."""
    found = [[tempered_logits(head, images) for head in heads] for images in blocks]
    return [np.concatenate(of_head) for of_head in zip(*found, strict=True)]


def score_logits(logits: Floats, labels: Ints) -> Scores:
    """Score logits (N, C) against labels (N,)."""
    accuracy = float(metrics.accuracy(logits, labels))
    predicted, classes = logits.argmax(1), logits.shape[1]
    counts, right = (np.bincount(y, minlength=classes) for y in (labels, labels[predicted == labels]))
    there = counts > 0
    given = np.bincount(predicted, minlength=classes)
    met = there | (given > 0)
    of_label, squares, within = (np.empty(len(labels), kind) for kind in (np.float64, np.float64, np.bool_))
    for rows in row_blocks(len(labels)):
        log_p = metrics.log_softmax(logits[rows])
        of_label[rows] = np.take_along_axis(log_p, labels[rows, None], 1)[:, 0]
        squares[rows] = np.square(np.exp(log_p)).sum(1)
        within[rows] = _among_top(logits[rows], labels[rows])
    return Scores(
        rows=len(labels),
        accuracy=accuracy,
        accuracy_interval=wilson(int(right.sum()), len(labels)),
        balanced_accuracy=float((right[there] / counts[there]).mean()),
        balanced_accuracy_interval=_balanced_interval(right[there], counts[there]),
        macro_f1=float((2 * right[met] / (counts[met] + given[met])).mean()),
        top5=float(within.mean()) if classes >= TOP_CLASSES else None,
        nll=float(-of_label.mean()),
        brier=float((squares - 2 * np.exp(of_label) + 1).mean()),
        ece=metrics.ece_equal_mass(logits, labels),
    )


def _balanced_interval(right: Ints, counts: Ints) -> Interval:
    """Drawing n_c rows of a class with replacement gives a binomial number of right ones."""
    drawn = np.random.default_rng(SEED).binomial(counts, right / counts, size=(RESAMPLES, len(counts)))
    low, high = np.quantile((drawn / counts).mean(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _among_top(logits: Floats, labels: Ints) -> NDArray[np.bool_]:
    """Rows with fewer than five classes before their own: larger logits, or equal ones of a lower index."""
    own = np.take_along_axis(logits, labels[:, None], 1)
    ties = (logits == own) & (np.arange(logits.shape[1]) < labels[:, None])
    return np.asarray(((logits > own) | ties).sum(1) < TOP)
