"""The columns of a table: how the parts of a cell become the numbers that people quote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Parts = Mapping[str, Array]


@dataclass(frozen=True)
class Column:
    """A number made from the accuracies of parts.

    Attributes:
        name: its heading.
        parts: the parts it is made from.
        combine: accuracies by part, arrays of one shape, to an array of that shape.
    """

    name: str
    parts: tuple[str, ...]
    combine: Callable[[Parts], Array]


def of_part(part: str, name: str | None = None) -> Column:
    """The accuracy of a part as it is."""
    return Column(name or part, (part,), lambda accuracy: accuracy[part])


def mean_of(name: str, parts: Sequence[str]) -> Column:
    """The mean accuracy of several parts."""
    return Column(name, tuple(parts), lambda accuracy: np.mean([accuracy[part] for part in parts], axis=0))


def harmonic_mean_of(name: str, first: str, second: str) -> Column:
    """The harmonic mean of two parts' accuracies."""

    def combine(accuracy: Parts) -> Array:
        a, b = np.asarray(accuracy[first]), np.asarray(accuracy[second])
        return np.asarray(2 * a * b / np.maximum(a + b, 1e-12))

    return Column(name, (first, second), combine)
