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

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from adapters import metrics
from adapters.arrays import Floats, Ints
from adapters.head import Head

Interval = tuple[float, float]

LEVEL = 0.95
"""Of every interval."""
RESAMPLES = 2000
TOP, TOP_CLASSES = 5, 10
"""Top-5 is given where there are at least so many classes."""
_SEED = 0


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


def score(head: Head, images: Floats, labels: Ints) -> Scores:
    """Score a fitted head on raw features (N, D) and class indices (N,)."""
    return score_logits(tempered_logits(head, images), labels)


def score_logits(logits: Floats, labels: Ints) -> Scores:
    """Score logits (N, C) against labels (N,)."""
    accuracy = float(metrics.accuracy(logits, labels))
    log_p = metrics.log_softmax(logits)
    predicted, classes = logits.argmax(1), logits.shape[1]
    counts, right = (np.bincount(y, minlength=classes) for y in (labels, labels[predicted == labels]))
    there = counts > 0
    given = np.bincount(predicted, minlength=classes)
    met = there | (given > 0)
    of_label = np.take_along_axis(log_p, labels[:, None], 1)[:, 0]
    p = np.exp(log_p)
    return Scores(
        rows=len(labels),
        accuracy=accuracy,
        accuracy_interval=wilson(int(right.sum()), len(labels)),
        balanced_accuracy=float((right[there] / counts[there]).mean()),
        balanced_accuracy_interval=_balanced_interval(right[there], counts[there]),
        macro_f1=float((2 * right[met] / (counts[met] + given[met])).mean()),
        top5=_top(logits, labels) if classes >= TOP_CLASSES else None,
        nll=float(-of_label.mean()),
        brier=float((np.square(p).sum(1) - 2 * np.exp(of_label) + 1).mean()),
        ece=metrics.ece_equal_mass(logits, labels),
    )


def wilson(right: int, rows: int) -> Interval:
    """Wilson's 95 % interval of a share."""
    z = norm.ppf((1 + LEVEL) / 2)
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


def difference(right: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> Difference:
    """The paired difference of two heads from which rows (N,) each got right.

    With b rows that only the first got right and c that only the other did, of N: Wald's interval with Agresti and
    Min's half a row added to each of the four cells (Statistics in Medicine, 2005),

        (b - c) / (N + 2) +- z sqrt((b + c + 1) - (b - c)^2 / (N + 2)) / (N + 2).
    """
    rows, gained, lost = len(right), int((right & ~other).sum()), int((other & ~right).sum())
    z, n = float(norm.ppf((1 + LEVEL) / 2)), rows + 2
    middle = (gained - lost) / n
    half = z * math.sqrt(gained + lost + 1 - (gained - lost) ** 2 / n) / n
    return Difference((gained - lost) / rows, (middle - half, middle + half))


def paired_interval(gains: npt.NDArray[np.int8]) -> Interval:
    """95 % interval of the mean of paired differences (S, N): seeds and test rows drawn with replacement.

    Args:
        gains: of every seed and test row whether one head is right, less whether the other is: -1, 0 or 1.
    """
    generator = np.random.default_rng(_SEED)
    seeds, rows = gains.shape
    weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    means = [gains[:, generator.integers(rows, size=rows)].mean(1) @ weight for weight in weights]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _balanced_interval(right: Ints, counts: Ints) -> Interval:
    """Drawing n_c rows of a class with replacement gives a binomial number of right ones."""
    drawn = np.random.default_rng(_SEED).binomial(counts, right / counts, size=(RESAMPLES, len(counts)))
    low, high = np.quantile((drawn / counts).mean(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _top(logits: Floats, labels: Ints) -> float:
    """Share of rows with fewer than five classes before their own: larger logits, or equal ones of a lower index."""
    own = np.take_along_axis(logits, labels[:, None], 1)
    ties = (logits == own) & (np.arange(logits.shape[1]) < labels[:, None])
    return float((((logits > own) | ties).sum(1) < TOP).mean())
