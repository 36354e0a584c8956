"""Sets of classes that hold the truth in an asked-for share of cases: conformal prediction.

Of probabilities p (C,) with classes in falling order, ties in class order, the score of class y is

    s_y = sum of the probabilities before y     for all but the first,
    s_y = log of the sum of all others, < 0     for the first,

and the set at threshold q is {y: s_y <= q}. These are the adaptive sets of Romano, Sesia and Candes (arXiv 2006.02544),
where a class enters when what came before it does not suffice; ties among first classes, which that score leaves to
chance, are broken by confidence instead. So an image always has the same set, coverage is exact at every level, and
where less is asked for than the head is right, the least certain images get an empty set.

From scores s_1..s_n of the true classes of n held-out images q is the ceil((n + 1) coverage)-th smallest; a new image
that is exchangeable with them has its class in the set with a probability of at least `coverage`, and at most
1 / (n + 1) more (split conformal prediction). Where every class has enough held-out images, each class has a threshold
of its own, and the promise holds class by class (Vovk, Conditional validity of inductive conformal predictors, arXiv
1209.2673).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from adapters.answers.rejection import ROUNDING
from adapters.arrays import Ints

ENOUGH = 5
"""A class has enough held-out images for a threshold of its own where so many of them may lie outside."""


def set_scores(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores s (N, C) of probabilities (N, C): the lower, the earlier a class enters the set."""
    order = np.argsort(-p, axis=1, kind="stable")
    falling = np.take_along_axis(p, order, 1)
    ranked = np.cumsum(falling, axis=1) - falling
    # Not of 1 - p, which is 0 for many images of a very sure head.
    with np.errstate(divide="ignore"):
        ranked[:, 0] = np.log(falling[:, 1:].sum(1))
    scores = np.empty_like(ranked)
    np.put_along_axis(scores, order, ranked, 1)
    return scores


def set_thresholds(p: NDArray[np.float64], labels: Ints, coverage: float) -> NDArray[np.float64]:
    """Thresholds (C,) from held-out images: one for all classes, or each class its own.

    Args:
        p: probabilities (n, C) of images that the head did not learn from.
        labels: their class codes (n,).
        coverage: the share of images whose class is to be in the set, in (0, 1).
    """
    own = np.take_along_axis(set_scores(p), labels[:, None], 1)[:, 0]
    if per_class(labels, p.shape[1], coverage):
        return np.array([_quantile(own[labels == c], coverage) for c in range(p.shape[1])])
    return np.full(p.shape[1], _quantile(own, coverage))


def per_class(labels: Ints, classes: int, coverage: float) -> bool:
    """Whether every class has enough held-out images for a threshold of its own."""
    return int(np.bincount(labels, minlength=classes).min()) * (1 - coverage) >= ENOUGH


def prediction_sets(p: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which classes are in the set of each image (N, C)."""
    return np.asarray(set_scores(p) <= thresholds)


def _quantile(scores: NDArray[np.float64], coverage: float) -> float:
    k = max(math.ceil((len(scores) + 1) * coverage - ROUNDING), 1)
    return float(np.partition(scores, k - 1)[k - 1]) if k <= len(scores) else math.inf
