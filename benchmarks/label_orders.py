"""Rankings of unlabelled images that `benchmarks/suggest.py` compares with the one of `adapters suggest`.

Each is given unit rows X (N, D), the numbers of those whose labels are known, class probabilities p (N, C) of all, how
many to take, and a seed; it gives the numbers of images that it takes, the first one first. They are written from the
equations of their papers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from adapters.arrays import Doubles, Floats, Ints
from adapters.suggesting.covering import ranked, uncertainty

Order = Callable[[Floats, Ints, NDArray[np.float64], int, int], Ints]
NEIGHBOURS = 20
"""Of TypiClust: over how many nearest the distance is averaged."""


def at_random(X: Floats, known: Ints, p: NDArray[np.float64], count: int, seed: int) -> Ints:
    """Images drawn at random."""
    open_ = np.setdiff1d(np.arange(len(X)), known)
    return np.asarray(np.random.default_rng([seed, len(known)]).permutation(open_)[:count])


def covering(X: Floats, known: Ints, p: NDArray[np.float64], count: int, seed: int) -> Ints:
    """What `adapters suggest` does: without known images there is no head yet."""
    open_ = np.setdiff1d(np.arange(len(X)), known)
    weights = uncertainty(p[open_]) if len(known) else np.ones(len(open_))
    return np.asarray(open_[ranked(X[open_], X[known], weights, count).order])


def typical_only(X: Floats, known: Ints, p: NDArray[np.float64], count: int, seed: int) -> Ints:
    """The same without a look at the head."""
    open_ = np.setdiff1d(np.arange(len(X)), known)
    return np.asarray(open_[ranked(X[open_], X[known], np.ones(len(open_)), count).order])


def typiclust(X: Floats, known: Ints, p: NDArray[np.float64], count: int, seed: int) -> Ints:
    """TypiClust (Hacohen, Dekel and Weinshall, arXiv 2202.02794): the most typical image of each cluster.

    Of min(L + B, N) clusters by k-means, those without a known image, largest first, give the image of the largest
    typicality 1 / mean distance to its `NEIGHBOURS` nearest in the cluster.
    """
    clusters = min(len(known) + count, len(X))
    of = KMeans(clusters, n_init=1, max_iter=30, random_state=seed).fit(X).labels_
    sizes = np.bincount(of, minlength=clusters)
    sizes[of[known]] = 0
    taken: list[int] = []
    for cluster in np.argsort(-sizes, kind="stable")[:count].tolist():
        if not sizes[cluster]:
            break
        members = np.flatnonzero(of == cluster)
        distances = np.sort(np.sqrt(np.clip(2 - 2 * (X[members] @ X[members].T), 0, None)), axis=1)
        taken.append(int(members[distances[:, 1 : NEIGHBOURS + 1].sum(1).argmin()]))
    rest = at_random(X, np.append(known, np.array(taken, dtype=np.int64)), p, count - len(taken), seed)
    return np.append(np.array(taken, dtype=np.int64), rest)


def k_centre(X: Floats, known: Ints, p: NDArray[np.float64], count: int, seed: int) -> Ints:
    """Greedy k-centre, the core-set of Sener and Savarese (arXiv 1708.00489): the image farthest from all taken.

    Without known images it begins with the one nearest to the mean.
    """
    similar = (X @ X[known].T).max(1) if len(known) else np.full(len(X), -np.inf)
    taken: list[int] = []
    for _ in range(count):
        similar[taken] = np.inf
        nearest = int(similar.argmin()) if np.isfinite(similar).any() else int((X @ X.mean(0)).argmax())
        taken.append(nearest)
        similar = np.maximum(similar, X @ X[nearest])
    return np.array(taken)


def margin(X: Floats, known: Ints, p: NDArray[np.float64], count: int, seed: int) -> Ints:
    """The smallest margin between the two most probable classes (Scheffer, Decomain and Wrobel 2001)."""
    weights = uncertainty(p)
    weights[known] = -1
    return np.argsort(-weights, kind="stable")[:count]


def badge(X: Floats, known: Ints, p: NDArray[np.float64], count: int, seed: int) -> Ints:
    """BADGE (Ash et al., arXiv 1906.03671): k-means++ over the gradients that the likely labels would give.

    The gradient of the last layer at the most probable class c of image x is g = (p - e_c) x^T; distances between them
    follow from those of their factors. The first is the largest; the others are drawn by their squared distance to the
    nearest taken.
    """
    rng = np.random.default_rng([seed, len(known)])
    factor = p.copy()
    factor[np.arange(len(p)), p.argmax(1)] -= 1
    lengths = np.square(factor).sum(1) * np.square(X).sum(1, dtype=np.float64)
    chances: Doubles = lengths.copy()
    chances[known] = 0
    taken = [int(chances.argmax())]
    while len(taken) < count:
        last = taken[-1]
        apart = lengths + lengths[last] - 2 * (factor @ factor[last]) * (X @ X[last])
        chances = np.clip(apart, 0, None) if len(taken) == 1 else np.minimum(chances, np.clip(apart, 0, None))
        chances[known], chances[taken] = 0, 0
        taken.append(int(rng.choice(len(X), p=chances / chances.sum())))
    return np.array(taken)


ORDERS: dict[str, Order] = {
    "random": at_random,
    "suggest": covering,
    "suggest, typical alone": typical_only,
    "TypiClust": typiclust,
    "k-centre": k_centre,
    "margin": margin,
    "BADGE": badge,
}
