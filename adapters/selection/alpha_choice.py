"""Choosing alpha, and what it depends on, for heads whose logits are base + alpha * delta.

Every setting of the others (a sharpness beta, say) has an exact path of accuracy in alpha (`exact_alpha`).
Rows come in blocks, and all settings of a block are worked off before the next: 16 bytes a row and setting are kept.

Many settings and alphas are equally good on few rows. Of these the one in the middle of the widest interval is taken,
where width and middle are measured in the share that delta has of the logits,

    share(alpha) = alpha / (alpha + u),    u = rms(base) / rms(delta),

with the root mean squares of the logits about each row's mean. It runs from 0 to 1 as alpha runs from 0 to infinity,
so that intervals without an upper end have a middle too, and those of different settings, whose deltas differ in scale,
may be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from adapters.arrays import Doubles, to_numpy
from adapters.chosen_alpha import AlphaChoice, ChosenOn
from adapters.selection.beta_search import refine
from adapters.selection.exact_alpha import AlphaPath, PathBuilder

if TYPE_CHECKING:
    from adapters.head import Head
    from adapters.support import Rows

Others = tuple[Any, ...]
"""Other hyper-parameters that delta or base depend on, such as (beta,) or (beta, gamma)."""
Piece = tuple[Others, Any, Any, Any]
"""A setting, and base (Q, C), delta (Q, C) and labels (Q,) of some rows."""

HIGHEST = 1e9
"""Upper end of the paths: what is right there is taken to be right for every larger alpha."""
AFFINITIES = 1 << 28
"""Affinities times betas up to which every beta is tried (a second or so); above, few and then closer to the best."""
STRIDE = 16
"""Of the betas that come first where not every one is tried."""
NOTHING_BETTER = "no setting did better than another on the rows to choose on: hyper-parameters stay as they were"


class Widest(NamedTuple):
    """An interval of alpha: its width in the share, its middle in the share as an alpha, and its ends."""

    width: float
    alpha: float
    lo: float
    hi: float


class Line(NamedTuple):
    """Accuracy in alpha of one setting, and the alpha `unit` (u above) at which delta weighs as much as base."""

    path: AlphaPath
    unit: float

    @property
    def right(self) -> int:
        """Most right answers."""
        return int(self.path.correct.max())

    def best(self) -> Widest:
        """The widest best interval."""
        # By what base has of the share, 1 - share(alpha): exact where alpha is large, and 0 for an infinite one.
        u = self.unit
        ends = [(u / (lo + u), 0.0 if hi == HIGHEST else u / (hi + u)) for lo, hi in self.path.best_intervals.tolist()]
        widths = [at_lo - at_hi for at_lo, at_hi in ends]
        widest = int(np.argmax(widths))
        lo, hi = map(float, self.path.best_intervals[widest])
        middle = u / (sum(ends[widest]) / 2) - u
        # Rounding must not carry the middle of a narrow interval out of it.
        return Widest(widths[widest], min(max(middle, lo), hi), lo, hi)


def lines(pieces: Iterable[Piece], *, lo: float = 0.0, hi: float = HIGHEST) -> dict[Others, Line]:
    """The line of every setting, from pieces in any order, for alphas from `lo` to `hi`."""
    builders: dict[Others, PathBuilder] = {}
    squares: dict[Others, Any] = {}
    for setting, *logits, labels in pieces:
        base, delta = (to_numpy(part) for part in logits)
        builders.setdefault(setting, PathBuilder(lo=lo, hi=hi)).add(base, delta, labels)
        squares[setting] = squares.get(setting, 0.0) + np.array([_square(base), _square(delta)])
    return {setting: Line(builder.path(), _unit(*squares[setting])) for setting, builder in builders.items()}


def _square(logits: Any) -> float:
    """Sum of squares about the mean of each row."""
    return float(np.square(logits - logits.mean(1, keepdims=True)).sum(dtype=np.float64))


def _unit(base: float, delta: float) -> float:
    return math.sqrt(base / delta) if base > 0 and delta > 0 else 1.0


def lines_of_betas(
    pieces_at: Callable[[Sequence[float]], Iterable[Piece]], betas: Sequence[float] | Doubles, affinities: int
) -> dict[Others, Line]:
    """Lines of settings (beta, ...): of every beta where that is cheap, otherwise of some, closer around the best.

    Args:
        pieces_at: the pieces of some betas; called once a pass.
        betas: ascending candidates.
        affinities: how many there are: rows to choose on times keys.
    """
    found: dict[Others, Line] = {}

    def best_at(some: Sequence[float]) -> list[int]:
        new = lines(pieces_at(some))
        found.update(new)
        return [max(line.right for setting, line in new.items() if setting[0] == beta) for beta in some]

    refine(best_at, betas, stride=1 if affinities * len(betas) <= AFFINITIES else STRIDE)
    return found


def choose(found: Mapping[Others, Line], chosen_on: ChosenOn) -> tuple[Others, AlphaChoice] | None:
    """The setting and alpha that get most rows right; of equals, the middle of the interval that is widest.

    Args:
        found: at least one line, all of the same rows.
        chosen_on: which rows these are.

    Returns:
        None where no alpha and no setting did better than another.
    """
    most = max(line.right for line in found.values())
    if all(int(line.path.correct.min()) == most for line in found.values()):
        return None
    tied = {setting: line.best() for setting, line in found.items() if line.right == most}
    setting = max(tied, key=lambda key: tied[key].width)  # the first of equally wide ones
    _, alpha, lo, hi = tied[setting]
    rows = found[setting].path.rows
    return setting, AlphaChoice(alpha, lo, math.inf if hi == HIGHEST else hi, most / rows, rows, chosen_on)


def set_chosen(
    head: Head, found: Mapping[Others, Line], names: Sequence[str], rows: Rows | None, *, least_gain: int = 0
) -> None:
    """Give a head the chosen alpha and setting; or leave its own, with the note that says why.

    Args:
        head: an unfitted clone.
        found: at least one line.
        names: the hyper-parameters that a setting holds, in its order.
        rows: held-out rows that the lines are of; None: the support's.
        least_gain: how many more rows must be right than with the head's own settings for these to be left.
    """
    chosen_on: ChosenOn = "support" if rows is None else "held-out"
    best = choose(found, chosen_on)
    if best is None:
        path = next(iter(found.values())).path
        head.selection_note_ = NOTHING_BETTER
        head.alpha_choice_ = AlphaChoice(head.alpha, 0.0, math.inf, path.best.accuracy, path.rows, chosen_on)
        return
    setting, choice = best
    gain = round(choice.accuracy * choice.rows) - _right_now(head, found, names) if least_gain else 0
    if gain < least_gain:
        head.selection_note_ = (
            f"hyper-parameters stay as they were: the best others get {gain} more of {choice.rows} rows right, "
            f"and of so few shots fewer than {least_gain} say nothing"
        )
        return
    head.alpha_choice_ = choice
    head.set_params(alpha=choice.alpha, **dict(zip(names, setting, strict=True)))


def _right_now(head: Head, found: Mapping[Others, Line], names: Sequence[str]) -> int:
    """Right answers with a head's own alpha, at the setting that is nearest to its own."""
    own = np.array([getattr(head, name) for name in names], dtype=np.float64)
    path = found[min(found, key=lambda setting: float(np.abs(np.array(setting) - own).sum()))].path
    right: float = path.accuracy(head.alpha) * path.rows
    return round(right)
