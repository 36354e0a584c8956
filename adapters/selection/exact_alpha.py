"""Accuracy as a function of the residual ratio alpha, exactly and for every alpha at once.

Row i of `logits = base + alpha * delta`, both (N, C), with label y is right where no other class c beats y:

    (base_y - base_c) + alpha (delta_y - delta_c) >= 0    for every c > y
    (base_y - base_c) + alpha (delta_y - delta_c) >  0    for every c < y    (`argmax` takes the first of equal classes)

Each is a half-line of alpha, so the row is right on one interval and accuracy is a step function of at most 2 N steps.
One pass over the logits, O(N C), and a sort find it, where a grid of G alphas costs O(N C G) and sees only G of them.

What is exact: the ends of the half-lines are the real numbers above, rounded once to float64, from differences taken
in float64 (without error for float32 logits whose exponents differ by less than 29). Rounding keeps order, so the
count is the mathematical one at every float64 alpha that is no such end; at an end itself the tie is decided as above.
A head that evaluates its logits in float32 may see a row otherwise where two classes are equal to its rounding.

Intervals are kept as half-open sets [start, stop) of float64 numbers: an open end is the neighbouring number. So
single points, touching intervals and ties need no cases of their own, and a reported end attains what is said of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Doubles, Ints, to_numpy
from adapters.errors import AdapterError

Logits = NDArray[Any]

BLOCK = 1 << 15
"""Logits of one step (and 64 rows at least): its few float64 temporaries, 256 KiB each, then stay in a core's cache."""
LARGEST = 1e300
"""Largest logit: the difference of two must be finite."""


class Best(NamedTuple):
    """The alphas chosen by an exact path."""

    accuracy: float
    """The maximum, a fraction."""
    lo: float
    """Lower end of the widest interval that attains it; the end belongs to it."""
    hi: float
    """Upper end; it belongs to it too."""
    alpha: float
    """The middle."""


class AlphaPath:
    """Accuracy at every alpha in [lo, hi].

    Args:
        starts: first alpha (float64) at which each row is right (N,).
        stops: first alpha after that at which it is wrong again (N,); a row with start >= stop is never right.
        rows: number of rows that accuracies are fractions of.
        lo: lower end of the range.
        hi: upper end of the range.

    Attributes:
        breakpoints: where accuracy changes (K,), ascending; the first is `lo`.
        correct: right answers (K,) from each breakpoint up to, and without, the next; the last up to `hi`.
    """

    def __init__(self, starts: Doubles, stops: Doubles, rows: int, lo: float, hi: float) -> None:
        self.rows, self.lo, self.hi = rows, lo, hi
        some = starts < stops
        starts, stops = starts[some], stops[some]
        rises, falls = starts[starts > lo], stops[stops <= hi]
        at = np.concatenate([rises, falls])
        order = np.argsort(at)
        at = at[order]
        count = len(starts) - len(rises) + np.cumsum(np.where(order < len(rises), 1, -1))
        last = at != np.append(at[1:], np.nan)  # of several changes at one alpha
        points, correct = np.append(lo, at[last]), np.append(len(starts) - len(rises), count[last])
        # Where one row's interval ends just as another's begins nothing changes: no breakpoint.
        changes = np.append(True, correct[1:] != correct[:-1])
        self.breakpoints: Doubles = points[changes] + 0.0  # no negative zero
        self.correct: Ints = correct[changes]

    @property
    def accuracies(self) -> Doubles:
        """Accuracy (K,) on the pieces that `breakpoints` begin, fractions."""
        return np.asarray(self.correct / self.rows)

    def accuracy(self, alpha: Any) -> Any:
        """Accuracy at alpha.

        Args:
            alpha: a number, or an array of any shape, within [lo, hi].

        Returns:
            A fraction, or an array of them of the same shape.

        Raises:
            AdapterError: an alpha outside [lo, hi], or NaN.
        """
        at = np.asarray(to_numpy(alpha), dtype=np.float64)
        within = (at >= self.lo) & (at <= self.hi)
        if not within.all():
            raise AdapterError(
                f"alpha={at[~within].flat[0]:g}, but this path covers {self.lo:g} to {self.hi:g}; "
                "pass lo= and hi= that include it"
            )
        found = self.correct[np.searchsorted(self.breakpoints, at, side="right") - 1] / self.rows
        return found if at.ndim else float(found)

    def piece(self, alpha: float) -> tuple[float, float]:
        """The interval around alpha on which accuracy stays what it is there; both ends belong to it."""
        at = int(np.searchsorted(self.breakpoints, alpha, side="right"))
        end = np.nextafter(self.breakpoints[at], -np.inf) if at < len(self.breakpoints) else self.hi
        return float(self.breakpoints[at - 1]), float(end)

    @property
    def best_intervals(self) -> Doubles:
        """Every interval (M, 2) of alpha that attains the maximum, ascending; both ends belong to it."""
        ends = np.append(np.nextafter(self.breakpoints[1:], -np.inf), self.hi)
        best = self.correct == self.correct.max()
        return np.stack([self.breakpoints[best], ends[best]], axis=1)

    @property
    def best(self) -> Best:
        """The maximum, the widest interval that attains it (the first of equally wide ones) and its middle."""
        intervals = self.best_intervals
        lo, hi = (float(end) for end in intervals[np.argmax(intervals[:, 1] - intervals[:, 0])])
        return Best(float(self.correct.max() / self.rows), lo, hi, lo + (hi - lo) / 2)


def alpha_path(base: Any, delta: Any, y: Any, *, lo: float = 0.0, hi: float = 10.0) -> AlphaPath:
    """The exact accuracy of `argmax(base + alpha * delta)` for every alpha in [lo, hi].

    Tip-Adapter and its kin are of this form: zero-shot logits and cache logits. So is CLIP-Adapter's blend at fixed
    weights, on [0, 1]: its logits are proportional, by a positive factor of each row that no `argmax` sees, to
    (1 - alpha) n(f) T^T + alpha A(n(f)) T^T. Hence base = n(f) T^T and delta = (A(n(f)) - n(f)) T^T.

    Args:
        base: logits (N, C) at alpha = 0; NumPy or torch, float32 or float64.
        delta: what one unit of alpha adds (N, C).
        y: labels (N,), integers from 0 to C - 1.
        lo: lower end of the range of alpha.
        hi: upper end.

    Raises:
        AdapterError: shapes that do not fit, labels out of range, NaN or infinity, an empty range, no rows.
    """
    return alpha_path_blocks([(base, delta, y)], lo=lo, hi=hi)


def alpha_path_blocks(blocks: Iterable[tuple[Any, Any, Any]], *, lo: float = 0.0, hi: float = 10.0) -> AlphaPath:
    """`alpha_path` of rows that come in blocks, so that not all logits need be in memory: 16 bytes a row are kept.

    Args:
        blocks: pieces (base, delta, y) of the rows; they, `lo`, `hi` and the errors are as in `alpha_path`.
        lo: lower end of the range of alpha.
        hi: upper end.
    """
    builder = PathBuilder(lo=lo, hi=hi)
    for block in blocks:
        builder.add(*block)
    return builder.path()


class PathBuilder:
    """Collects the rows of one path; the builders of many settings can be fed side by side from one pass over blocks.

    Args:
        lo: lower end of the range of alpha.
        hi: upper end.

    Raises:
        AdapterError: an empty range.
    """

    def __init__(self, *, lo: float, hi: float) -> None:
        self.lo, self.hi = float(lo), float(hi)
        if not -np.inf < self.lo <= self.hi < np.inf:
            raise AdapterError(f"lo={lo:g} and hi={hi:g}; expected finite numbers with lo <= hi")
        self._parts: list[tuple[Doubles, Doubles]] = []

    def add(self, base: Any, delta: Any, y: Any) -> None:
        """Add rows; as in `alpha_path`."""
        base, delta, labels = _checked(base, delta, y)
        step = max(64, BLOCK // base.shape[1])
        for i in range(0, len(base), step):
            rows = slice(i, i + step)
            self._parts.append(_intervals(base[rows], delta[rows], labels[rows], self.lo, self.hi))

    def path(self) -> AlphaPath:
        """The path of the rows so far.

        Raises:
            AdapterError: there are none.
        """
        if not self._parts:
            raise AdapterError("no rows: an accuracy needs at least one; pass (base, delta, y) of one row or more")
        starts, stops = (np.concatenate(ends) for ends in zip(*self._parts, strict=True))
        return AlphaPath(starts, stops, len(starts), self.lo, self.hi)


def _checked(base: Any, delta: Any, y: Any) -> tuple[Logits, Logits, Ints]:
    arrays = []
    for name, values in (("base", base), ("delta", delta)):
        array = to_numpy(values)
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            raise AdapterError(f"{name} has shape {array.shape} and dtype {array.dtype}; expected logits (N, C)")
        if array.size == 0:
            raise AdapterError(f"{name} is empty, shape {array.shape}; expected logits (N, C) of one row or more")
        if not (float(array.max()) <= LARGEST and float(array.min()) >= -LARGEST):  # so that NaN fails too
            raise AdapterError(f"{name} holds NaN, infinity or more than {LARGEST:g}; leave out invalid rows first")
        arrays.append(array)
    if arrays[0].shape != arrays[1].shape:
        raise AdapterError(f"base has shape {arrays[0].shape} and delta {arrays[1].shape}; expected the same (N, C)")
    rows, classes = arrays[0].shape
    labels = to_numpy(y)
    if labels.shape != (rows,) or labels.dtype.kind not in "iu":
        raise AdapterError(f"y has shape {labels.shape} and dtype {labels.dtype}; expected ({rows},) integer labels")
    if labels.min() < 0 or labels.max() >= classes:
        raise AdapterError(f"y spans {labels.min()}..{labels.max()}; expected 0..{classes - 1}, the columns of base")
    return arrays[0], arrays[1], labels.astype(np.int64)


def _intervals(base: NDArray[Any], delta: NDArray[Any], labels: Ints, lo: float, hi: float) -> tuple[Doubles, Doubles]:
    """Where in [lo, hi] each row is right: start and stop (n,) of [start, stop); start >= stop is nowhere.

    Class c does not beat y where slope * alpha >= lead, with `lead` (C, n) = base_c - base_y and `slope` (C, n) =
    delta_y - delta_c: from lead / slope on for a positive slope, up to there for a negative one. With a slope of 0 the
    quotient is an infinity that says always or never by itself, or NaN where c equals y at every alpha.
    """
    rows = np.arange(len(labels))
    lead, slope = (np.array(part.T, dtype=np.float64, order="C") for part in (base, delta))
    np.subtract(lead, lead[labels, rows], out=lead)
    np.subtract(slope[labels, rows], slope, out=slope)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        meet = np.divide(lead, slope, out=lead)
    side = np.copysign(np.inf, slope, out=slope)
    above = np.minimum(meet, side)  # NaN stays NaN here, and the reductions below pass over it
    below = np.maximum(meet, side, out=side)
    first = np.arange(len(above), dtype=np.int32)[:, None] < labels.astype(np.int32)  # classes that win a tie

    after = np.nextafter(hi, np.inf)  # where rows stop that are right up to the end of the range
    start = np.fmax(np.fmax.reduce(above, axis=0), np.nextafter(lo, -np.inf))
    lost = ((above == start) & first).any(0)
    start = np.fmax(np.where(lost, np.nextafter(start, np.inf), start), lo)
    stop = np.fmin(np.fmin.reduce(below, axis=0), after)
    lost = ((below == stop) & first).any(0)
    stop = np.fmin(np.where(lost, stop, np.nextafter(stop, np.inf)), after)
    stop[(np.isnan(meet) & first).any(0)] = -np.inf
    return start, stop
