"""Predictions of a Tip-Adapter cache that are proven without computing all its affinities.

A class's votes are v_c = sum_n exp(-beta (1 - s_n)) over the affinities s_n of its keys. Say some keys were looked up
(none, or the k nearest of all). Of class c, r keys with unknown affinities remain. Known are a bound s_n <= u, their
mean m and a bound w on their variance (`adapters.heads.tip.class_moments`, less the share of the keys looked up). With
f(s) = exp(-beta (1 - s)), of which all derivatives are positive, what they vote in sum lies between

    r f(m)                                   below: Jensen's inequality, as f is convex; and
    r [(1 - p) f(m - w / (u - m)) + p f(u)]  above, p = w / (w + (u - m)^2).

Proof of the second: let x = m - w / (u - m) and h the parabola that touches f at x and meets it at u. For s <= u the
remainder of Hermite interpolation is f(s) - h(s) = f'''(.) / 6 (s - x)^2 (s - u) <= 0, so f <= h. The mean of h over
the keys depends on their mean and variance alone and grows with the variance, h being convex; for variance w it is the
bracket, the mean of f over the two points x and u with weights 1 - p and p (they have mean m and variance w, and h = f
on both). The bracket grows with m: moving every s towards u by the same fraction raises f and lowers the variance. So
m, w and u may each be replaced by something larger. The bracket never exceeds f(u). For the k nearest keys u is the
k-th affinity, and r f(u) the familiar count bound: no key of class c that was not returned is nearer than the k-th
returned key, so its r such keys vote r exp(-beta (1 - s_k)) at most. It alone is far too loose to certify much.

With alpha >= 0 and v_c in [lower_c, upper_c], class y is the full cache's prediction if

    base_y + alpha lower_y - e_y  >  base_c + alpha upper_c + e_c    for all other classes c.

The inequality is strict: y is then the only largest logit, whatever a tie's rule. The slack e covers rounding twice,
in what is computed here and in the full cache's own float32 formula, so that y is the prediction of both the formula in
exact arithmetic and that of float32. With u = 2^-24: a product of D float32 pairs in any order is off by at most
1.01 D u |q| |k| =: d (2 D u < 0.01 is assumed), an exponential by a factor within exp(+-(beta d' + 4 u)), where
d' = d + 4 u (1 + |k|) has the rounding of 1 - s and of its product with beta, and a float32 sum of N_c positive terms
by a factor within exp(+-2 N_c u); the last operations, alpha times the votes plus base, add 16 u at most. What is
computed here is float64 but for the affinities of the keys looked up, which are off by d; the roundings of float64 sums
over N_c keys are below 2^-50 (N_c + D) of the sum of absolute terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from adapters.arrays import Floats, Ints
from adapters.heads.tip.class_moments import ClassMoments, Doubles
from adapters.heads.tip.key_cache import KeyCache

UNIT = 2.0**-24
"""Rounding unit of float32."""
TINY = 2.0**-120
"""Above the smallest normal float32: what an exponential that underflows may lose."""

BLOCK = 1 << 18
"""Most numbers in one of the float64 arrays of a block of queries."""


class Found(NamedTuple):
    """The nearest keys of Q queries, the nearest first, from an exact search in float32."""

    cosines: Floats
    """Affinities (Q, k)."""
    labels: Ints
    """Class codes of those keys (Q, k)."""


class VoteBounds(NamedTuple):
    """Bounds of the full cache's votes in exact arithmetic, each (Q, C)."""

    lower: Doubles
    upper: Doubles
    estimate: Doubles
    """Between the two: as if a class's affinities were normal and those below u remained, with their known mean."""


class Certificate(NamedTuple):
    """Which of Q predictions are proven."""

    logits: Floats
    """Estimated logits (Q, C); in proven rows the largest is the full cache's."""
    proven: NDArray[np.bool_]
    """Rows (Q,) whose prediction is the full cache's."""


class Certified(NamedTuple):
    """Logits whose largest is the full cache's in every row, and how that is known."""

    logits: Floats
    """(Q, C): the full cache's own where no certificate was found, otherwise estimates within proven bounds."""
    by_moments: NDArray[np.bool_]
    """Rows (Q,) certified without looking up a key."""
    by_neighbours: NDArray[np.bool_]
    """Rows (Q,) certified by their nearest keys."""

    @property
    def certified(self) -> NDArray[np.bool_]:
        """Rows (Q,) whose prediction is proven without all keys; the others were computed over all of them."""
        return np.asarray(self.by_moments | self.by_neighbours)

    @property
    def note(self) -> str:
        """How many predictions are certified, and what that means, in a sentence."""
        return (
            f"predictions are the full cache's: {self.by_moments.mean():.1%} certified by class sums, "
            f"{self.by_neighbours.mean():.1%} by neighbours, {1 - self.certified.mean():.1%} computed over all keys; "
            "probabilities of certified rows are estimates"
        )


def product_error(dim: int, norms: float) -> float:
    """d: how far a float32 product of `dim` pairs may be off, given the product of the norms."""
    return 1.01 * dim * UNIT * norms


@np.errstate(over="ignore", invalid="ignore")  # bounds that overflow certify nothing
def vote_bounds(moments: ClassMoments, queries: Floats, beta: float, found: Found | None = None) -> VoteBounds:
    """Bounds of the votes of all keys.

    Args:
        moments: of all keys.
        queries: (Q, D), of any norm.
        beta: sharpness, at least 0.
        found: the nearest keys; None: none was looked up.
    """
    rows = queries.astype(np.float64)
    along = moments.along(rows)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    count, norms = moments.counts, length * moments.norm
    off = product_error(queries.shape[1], 1.0) * norms
    removed = np.zeros((4, *along.total.shape))  # of the keys looked up: number, affinities, squares, votes
    most = along.most
    if found is not None:
        query, cosines = np.arange(len(rows))[:, None], found.cosines.astype(np.float64)
        from_centre = np.maximum(np.abs(cosines - along.centre[query, found.labels]) - off, 0)
        for out, values in zip(removed, (1.0, cosines, from_centre**2, np.exp(-beta * (1 - cosines))), strict=True):
            np.add.at(out, (query, found.labels), values)
        most = np.minimum(most, cosines.min(1, keepdims=True))
    known, looked_up, squares, voted = removed
    left = count - known
    several = np.maximum(left, 1)
    rounding = 2.0**-50 * (count + queries.shape[1]) * count / several
    mean, mean_off = (along.total - looked_up) / several, known * off / several + rounding * norms
    u = most + off
    m = np.minimum(mean + mean_off, u)
    w = (along.scatter - squares) / several - np.maximum(np.abs(mean - along.centre) - mean_off, 0) ** 2
    w = np.maximum(w, 0) + 4 * rounding * norms**2
    gap = np.maximum(u - m, 1e-12)
    p = w / (w + gap**2)
    above = left * ((1 - p) * np.exp(-beta * (1 - (m - w / gap))) + p * np.exp(-beta * (1 - u)))
    below = left * np.exp(-beta * (1 - (mean - mean_off)))
    lower, upper = voted * np.exp(-beta * off) + below, voted * np.exp(beta * off) + above
    deviation = np.sqrt(np.maximum(along.likely / np.maximum(count, 1), 1e-24))
    cut, drift = (u - along.centre) / deviation, beta * deviation
    below_cut = log_ndtr(cut)
    shift = np.exp(-(cut**2) / 2 - below_cut) / np.sqrt(2 * np.pi)  # of the mean, in deviations, by the cut
    normal = np.exp(-beta * (1 - mean) + drift * shift + drift**2 / 2 + log_ndtr(cut - drift) - below_cut)
    return VoteBounds(lower, upper, np.fmax(np.fmin(voted + left * normal, upper), lower))  # also where it is NaN


@np.errstate(over="ignore", invalid="ignore")
def certify(
    moments: ClassMoments,
    queries: Floats,
    base: Floats,
    *,
    alpha: float,
    beta: float,
    base_error: float,
    found: Found | None = None,
) -> Certificate:
    """Which predictions of base + alpha * votes are proven.

    Args:
        moments: of all keys.
        queries: (Q, D).
        base: zero-shot logits (Q, C) in float32.
        alpha: residual ratio, at least 0.
        beta: sharpness, at least 0.
        base_error: how far `base` may be off.
        found: the nearest keys; None: none was looked up.
    """
    bounds = vote_bounds(moments, queries, beta, found)
    norms = float(np.linalg.norm(queries.astype(np.float64), axis=1).max()) * moments.norm
    off = product_error(queries.shape[1], norms) + 4 * UNIT * (1 + norms)
    factor = np.expm1(beta * off + (2 * moments.counts + 16) * UNIT)
    logits = base.astype(np.float64)
    cache = alpha * bounds.upper
    slack = 2 * base_error + cache * factor + 2 * UNIT * (np.abs(logits) + cache) + alpha * moments.counts * TINY
    low, high = logits + alpha * bounds.lower - slack, logits + cache + slack
    rows, winner = np.arange(len(low)), np.nan_to_num(low, nan=-np.inf).argmax(1)
    won = low[rows, winner]
    high[rows, winner] = -np.inf
    estimate = np.asarray(logits + alpha * bounds.estimate, dtype=np.float32)
    return Certificate(estimate, (won > high.max(1)) & np.isfinite(estimate).all(1))


def certified_logits(
    cache: KeyCache,
    queries: Floats,
    base: Floats,
    *,
    alpha: float,
    beta: float,
    base_error: float,
    neighbours: int,
) -> Certified:
    """Certify by the class moments, then by the nearest keys, and compute the rest over all keys.

    Args:
        cache: with a flat index.
        queries: unit rows (Q, D).
        base: zero-shot logits (Q, C) in float32.
        alpha: residual ratio, at least 0.
        beta: sharpness, at least 0.
        base_error: how far `base` may be off.
        neighbours: how many keys to look up where the class moments do not decide; 0: none. As many as there are,
            or more: everything is computed over all keys.
    """
    logits = np.empty_like(base)
    by_moments, by_neighbours = np.zeros((2, len(base)), dtype=np.bool_)
    worth_it = neighbours < len(cache)
    for rows in _blocks(np.arange(len(base) if worth_it else 0), cache.classes):
        logits[rows], by_moments[rows] = certify(
            cache.moments, queries[rows], base[rows], alpha=alpha, beta=beta, base_error=base_error
        )
    open_rows = np.flatnonzero(~by_moments) if worth_it and neighbours else np.arange(0)
    for rows in _blocks(open_rows, max(cache.classes, neighbours)):
        for part, cosines, keys in cache.nearest(queries[rows], neighbours):
            own = rows[part]
            found = Found(cosines, cache.labels[keys])
            logits[own], by_neighbours[own] = certify(
                cache.moments, queries[own], base[own], alpha=alpha, beta=beta, base_error=base_error, found=found
            )
    rest = np.flatnonzero(~(by_moments | by_neighbours))
    logits[rest] = base[rest] + np.float32(alpha) * cache.votes(queries[rest], beta)
    return Certified(logits, by_moments, by_neighbours)


def _blocks(rows: Ints, columns: int) -> Iterator[Ints]:
    """Rows in blocks whose float64 arrays stay small."""
    size = max(1, BLOCK // columns)
    return (rows[start : start + size] for start in range(0, len(rows), size))
