"""Axes of charts: where numbers stand, and which are written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEPS = (1, 2, 2.5, 5, 10)
LEAST_SPAN = 0.01
"""Of numbers that are all one, or nearly."""


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high`, drawn from `start` to `stop`.

    Attributes:
        log: by their logarithms.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a number stands; the middle, where all are one."""
        low, high, value = (math.log2(v) if self.log else v for v in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.stop - self.start)


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that cover `low` to `high`, at most so many steps between them."""
    rough = max(high - low, LEAST_SPAN) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in STEPS if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def written(values: Sequence[float]) -> list[str]:
    """The numbers with as many digits behind the point as tell them apart."""
    digits = 0
    while digits < 6 and any(abs(value * 10**digits - round(value * 10**digits)) > 1e-6 for value in values):
        digits += 1
    return [f"{value:.{digits}f}" for value in values]
