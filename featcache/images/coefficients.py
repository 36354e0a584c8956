"""Pillow's resampling filters in fixed point: which inputs make an output, and with which integer weights.

Pillow resizes 8-bit images in integers (`src/libImaging/Resample.c`): along one axis, then along the other, rounded to
8 bits in between. An output is

    clip((2^21 + sum over t of weight[t] * input[first + t]) >> 22, 0, 255)

with weights that depend on the two lengths and the filter alone. They are computed here by the same operations in the
same order as there, so that any machine which multiplies integers gives Pillow's pixels to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BITS = 22
"""Behind the binary point of a weight: 32 bits less 8 of a pixel, the sign, and one to spare."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """One axis of a resize.

    Attributes:
        first: (O,) int32: the first input of each output; all `taps` inputs from it on exist.
        weights: (O, T) int32, zero where an output needs fewer than T inputs.
    """

    first: np.ndarray
    weights: np.ndarray


def _box(x: np.ndarray) -> np.ndarray:
    return np.asarray((x > -0.5) & (x <= 0.5), np.float64)


def _bilinear(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1, 1 - x, 0.0)


def _bicubic(x: np.ndarray) -> np.ndarray:
    a, x = -0.5, np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    # The C library's sine: NumPy's may differ in the last bit, and that bit can decide a weight.
    def sinc(v: float) -> float:
        return 1.0 if v == 0 else math.sin(v * math.pi) / (v * math.pi)

    values = [sinc(v) * sinc(v / 3) if -3 <= v < 3 else 0.0 for v in x.ravel().tolist()]
    return np.array(values).reshape(x.shape)


FILTERS: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "box": (0.5, _box),
    "bilinear": (1.0, _bilinear),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, _lanczos),
}
"""The filters by name: how far each reaches, in outputs, and its value at distances."""


@lru_cache(maxsize=4096)
def coefficients(length: int, outputs: int, name: str) -> Coefficients:
    """Of resizing an axis of `length` inputs to so many outputs.

    Where the length stays, Pillow leaves the pass out; one input of weight 1 is the same.
    """
    if length == outputs:
        return Coefficients(np.arange(length, dtype=np.int32), np.full((length, 1), 1 << BITS, np.int32))
    reach, value = FILTERS[name]
    scale = length / outputs
    stretch = max(scale, 1.0)
    support = reach * stretch
    centre = (np.arange(outputs) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + support + 0.5).astype(np.int64), length)
    tap = np.arange(int((end - first).max()))
    weights = value((tap + first[:, None] - centre[:, None] + 0.5) * (1.0 / stretch))
    weights = np.where(tap < (end - first)[:, None], weights, 0.0)
    total = np.zeros(outputs)
    for column in weights.T:  # from the left, as a loop in C adds
        total = total + column
    weights = weights / np.where(total == 0, 1.0, total)[:, None]
    fixed = np.trunc(np.where(weights < 0, -0.5, 0.5) + weights * (1 << BITS)).astype(np.int32)
    return _within(first, fixed, length)


def _within(first: np.ndarray, weights: np.ndarray, length: int) -> Coefficients:
    """The same sums with windows of one width that lie inside the axis: those at its end begin earlier."""
    taps = weights.shape[1]
    start = np.minimum(first, length - taps)
    moved = np.zeros_like(weights)
    columns = np.arange(taps) + (first - start)[:, None]
    inside = columns < taps  # what is behind has weight 0
    moved[np.nonzero(inside)[0], columns[inside]] = weights[inside]
    return Coefficients(start.astype(np.int32), moved)
