"""Which images to label first: those that stand for most of what nothing stands for yet.

With unit rows x_i, the unlabelled images U, the labelled ones L and weights w_j > 0,

    k(i, j) = exp(-|x_i - x_j|^2 / h),        F(S) = sum_{j in U} w_j max_{i in L + S} k(i, j),

images of U enter S one after the other, each the one that raises F most: typical ones, since these stand for many, and
different ones, since what lies near an image of L or S raises F no more. h is the mean squared distance of the images
to their 20th nearest, so that it follows the data. F is submodular: S reaches at least 1 - 1/e of what the best S of
its size has (Nemhauser, Wolsey and Fisher 1978), and the gains of images only fall, so that most need not be computed
again (Minoux 1978). The first n of a ranking are the ranking of n.

Without a head w_j = 1. With one, w_j = 1 - (p_1 - p_2), of the probabilities of its two most probable classes for image
j (the margin of Scheffer, Decomain and Wrobel 2001): what it is sure of needs no more images to stand for it.
Source: facility location over unlabelled data, Wei, Iyer and Bilmes, Submodularity in Data Subset Selection and Active
Learning (ICML 2015), where uncertainty chooses the images that may be taken; here it weights those that are to be stood
for. Measured beside other rankings by `benchmarks/suggest.py`.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Doubles, Floats, Ints

NEAR = 20
"""Which nearest image says how far an image stands for others."""
LEAST_WEIGHT = 1e-3
"""Of an image that a head is sure of: where it is of all, the typical ones come first."""
MOST_CANDIDATES, MOST_STOOD_FOR = 32_768, 2_048
"""Images that may be taken, and that are to be stood for; of more, as many are drawn. All their kernels are held at
once, in 256 MiB."""


class Ranking(NamedTuple):
    """Numbers of images (n,), the first to be labelled first, and what each raises F by, as a share of sum w (n,)."""

    order: Ints
    gains: Doubles


def uncertainty(p: NDArray[np.float64]) -> Doubles:
    """Weights w (N,) of class probabilities (N, C), in (0, 1]."""
    if p.shape[1] < 2:
        return np.ones(len(p))
    second, first = np.partition(p, (-2, -1), axis=1)[:, -2:].T
    return np.asarray(np.maximum(1 - (first - second), LEAST_WEIGHT))


def ranked(features: Floats, known: Floats, weights: Doubles, count: int) -> Ranking:
    """The first images to label.

    Args:
        features: unit rows (N, D) of the unlabelled images.
        known: unit rows (M, D) of the labelled ones; M may be 0.
        weights: w (N,).
        count: of images to rank, 1 or more; at most N are.
    """
    rng = np.random.default_rng(0)
    candidates, stood_for = (_drawn(len(features), most, rng) for most in (MOST_CANDIDATES, MOST_STOOD_FOR))
    rows = features[stood_for]
    kernel = np.clip(2 - 2 * (features[candidates] @ rows.T), 0, None, dtype=np.float32)
    near = min(NEAR, len(candidates) - 1)
    width = max(float(np.mean([np.partition(each, near)[near] for each in kernel.T])), 1e-12)
    kernel /= np.float32(-width)
    np.exp(kernel, out=kernel)
    own = weights[stood_for]
    taken, gains = _greedy(kernel, _stood_for_by(known, rows, width), own, min(count, len(candidates)))
    return Ranking(candidates[taken], gains / own.sum())


def _drawn(rows: int, most: int, rng: np.random.Generator) -> Ints:
    return np.arange(rows) if rows <= most else np.sort(rng.choice(rows, most, replace=False))


def _stood_for_by(known: Floats, rows: Floats, width: float) -> Doubles:
    """How far the labelled images stand for each of the rows (R,)."""
    if not len(known):
        return np.zeros(len(rows))
    nearest = np.max([(known[start : start + 1024] @ rows.T).max(0) for start in range(0, len(known), 1024)], axis=0)
    return np.asarray(np.exp(-np.clip(2 - 2 * nearest.astype(np.float64), 0, None) / width))


def _greedy(kernel: Floats, reached: Doubles, weights: Doubles, count: int) -> tuple[Ints, Doubles]:
    """The rows of the kernel (N, R) that are taken (count,), and the gain of each (count,); of equal ones the first."""

    def gain(row: int) -> float:
        return float(np.maximum(kernel[row] - reached, 0) @ weights)

    heap = [(-gain(row), row) for row in range(len(kernel))]
    heapq.heapify(heap)
    order: list[int] = []
    gains: list[float] = []
    while len(order) < count:
        _, row = heapq.heappop(heap)
        now = (-gain(row), row)
        if heap and now > heap[0]:  # gains only fall: if it is still ahead of what others were, it is the largest
            heapq.heappush(heap, now)
            continue
        order.append(row)
        gains.append(-now[0])
        reached = np.maximum(reached, kernel[row])
    return np.array(order, dtype=np.int64), np.array(gains)
