"""None of these: the score below which an image is taken for none of the classes.

From scores s_1..s_n of known images that the score did not learn from, the threshold is the k-th smallest,
k = floor(rate (n + 1)). Where a new known image is exchangeable with them, it lies below with a probability of at most
`rate` (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, chapter 2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9
"""By which a share times a number of images may miss a whole number in binary: 0.29 * 100 is a little less than 29."""


def rejection_threshold(scores: NDArray[np.float64], rate: float) -> float:
    """What a score (n,) must not lie below; minus infinity where n images are too few to refuse any at this rate.

    Args:
        scores: of known images that were held out.
        rate: the share of known images that may be refused, in (0, 1).
    """
    k = math.floor(rate * (len(scores) + 1) + ROUNDING)
    return float(np.partition(scores, k - 1)[k - 1]) if k else -math.inf


def least_rows(rate: float) -> int:
    """The fewest held-out images from which any image can be refused at this rate."""
    return math.ceil((1 - ROUNDING) / rate) - 1
