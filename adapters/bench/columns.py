"""The columns of a protocol's table: how the parts of a cell become the numbers that people quote."""

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


def columns(protocol: str, parts: Sequence[str]) -> list[Column]:
    """The columns of a protocol, the one that sums it up first.

    Args:
        protocol: its name.
        parts: of each of its cells, in order.
    """
    if protocol == "base-to-new":
        return [_harmonic("HM", "base", "new"), _part("base"), _part("new")]
    if protocol == "incremental":
        last, average = _part(parts[-1], "Last"), _mean("Average", parts)
        return [last, average, *(_part(part, part.replace("-", " ")) for part in parts)]
    if protocol == "cross-dataset":
        targets = parts[1:]
        return [_mean("mean of targets", targets), _part(parts[0], f"{parts[0]} (source)"), *map(_part, targets)]
    return [_part("all")]


def _part(part: str, name: str | None = None) -> Column:
    return Column(name or part, (part,), lambda accuracy: accuracy[part])


def _mean(name: str, parts: Sequence[str]) -> Column:
    return Column(name, tuple(parts), lambda accuracy: np.mean([accuracy[part] for part in parts], axis=0))


def _harmonic(name: str, first: str, second: str) -> Column:
    def combine(accuracy: Parts) -> Array:
        a, b = np.asarray(accuracy[first]), np.asarray(accuracy[second])
        return np.asarray(2 * a * b / np.maximum(a + b, 1e-12))

    return Column(name, (first, second), combine)
