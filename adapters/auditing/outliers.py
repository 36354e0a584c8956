"""Images that no class explains: far from every class, as the discriminant of all other images measures it.

Far is what lies beyond Tukey's outer fence of the distances to the nearest class: the upper quartile and three times
the distance between the quartiles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from adapters.arrays import Doubles, Ints
from adapters.auditing.pool import Image, Pool

OUTER = 3.0


class Outlier(NamedTuple):
    """An image, and its distance to the nearest class in units of the fence: above 1."""

    image: Image
    score: float


def far(distances: Doubles) -> tuple[Ints, float]:
    """Numbers of the images beyond the fence, farthest first, and the fence, in the unit of the distances (N,)."""
    if not np.isfinite(distances).all():
        return np.empty(0, np.int64), float("inf")
    low, high = np.quantile(distances, [0.25, 0.75])
    fence = float(high + OUTER * (high - low))
    found = np.flatnonzero(distances > fence)
    return found[np.argsort(-distances[found], kind="stable")], fence


def outliers(pool: Pool, distances: Doubles) -> tuple[Outlier, ...]:
    """The images of a pool that no class explains."""
    found, fence = far(distances)
    return tuple(Outlier(pool.image(i), float(distances[i]) / fence) for i in found.tolist())
