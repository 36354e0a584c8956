"""Train every setting on every draw, and count what each gets right on the rows held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sklearn.base import clone

from adapters.abilities import LineInAlpha
from adapters.arrays import Floats, Ints
from adapters.head import Head
from adapters.search.draws import Draw
from adapters.search.grid import Setting
from adapters.selection.alpha_choice import Line, Widest, lines
from adapters.selection.exact_alpha import AlphaPath
from adapters.selection.held_out import right, sane
from adapters.support import Rows
from adapters.training.stacking import fit_supports

Build = Callable[[Draw, Setting], Head]
"""Makes an unfitted head."""
Tell = Callable[["Trial"], None]
"""Is told of every training that ended."""


class Trial(NamedTuple):
    """One training: numbers of the draw, of the setting and of the split."""

    draw: int
    setting: int
    split: int


class Outcome(NamedTuple):
    """How a setting did on a draw."""

    correct: int
    """Held-out rows that were right, over all splits."""
    alphas: Widest | None = None
    """The alphas with which, where alpha is chosen exactly after the fit (`adapters.selection.alpha_choice`)."""
    stopped_at: int | None = None
    """The step at which it was given up; None: trained to the end."""
    rung: int | None = None
    """The number of the rung at which; None while it may still go on."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.stopped_at is None or self.rung is not None


Parts = tuple[Floats, Floats, Ints]
"""Base and delta (N, C) of logits = base + alpha * delta, and labels (N,)."""
Outcomes = dict[tuple[int, int], Outcome]
"""By number of draw and setting."""


class Scorer:
    """Counts right answers; with several splits, over all of them.

    Args:
        draws: all of them.
        alpha_range: where every alpha is scored exactly; None: each head with its own alpha.
        found: outcomes of an earlier run of the same search, whose trainings are not begun again.
    """

    def __init__(
        self, draws: Sequence[Draw], alpha_range: tuple[float, float] | None, found: Outcomes | None = None
    ) -> None:
        self.draws, self.alpha_range = draws, alpha_range
        self.outcomes: Outcomes = dict(found or {})
        self._counts: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self._parts: defaultdict[tuple[int, int], list[Parts]] = defaultdict(list)

    def add(self, trial: Trial, head: Head, stopped_at: int | None = None) -> None:
        """Score a fitted head on the rows of its split; after the last split the outcome is there."""
        which, splits = (trial.draw, trial.setting), self.draws[trial.draw].splits
        rows = splits[trial.split][1]
        if self.alpha_range is None:
            counts = self._counts[which]
            counts.append(right(head, rows))
            if len(counts) == len(splits):
                self.outcomes[which] = Outcome(sum(self._counts.pop(which)), None, stopped_at)
            return
        parts = self._parts[which]
        parts.append(_parts(head, rows))
        if len(parts) == len(splits):
            line = _line(self._parts.pop(which), self.alpha_range)
            self.outcomes[which] = Outcome(line.right, line.best(), stopped_at)


def trials_of(draws: Sequence[Draw], settings: Sequence[Setting], found: Outcomes) -> list[Trial]:
    """All trainings but those whose outcome is there; those of one draw and setting next to each other."""
    return [
        Trial(i, j, k)
        for i, draw in enumerate(draws)
        for j in range(len(settings))
        for k in range(len(draw.splits))
        if (i, j) not in found
    ]


def train_all(draws: Sequence[Draw], settings: Sequence[Setting], build: Build, scorer: Scorer, tell: Tell) -> Outcomes:
    """Train everything to the end, as few programs as possible; a head is scored when it is done, and dropped."""
    trials = trials_of(draws, settings, scorer.outcomes)
    heads = [build(draws[trial.draw], settings[trial.setting]) for trial in trials]
    for i in fit_supports(heads, [draws[trial.draw].splits[trial.split][0] for trial in trials]):
        scorer.add(trials[i], heads[i])
        heads[i] = clone(heads[i])  # without what it learned: thousands of them would fill the memory
        tell(trials[i])
    return scorer.outcomes


def path_of(heads: Iterable[tuple[Head, Rows]], alpha_range: tuple[float, float]) -> AlphaPath:
    """The exact accuracy of fitted heads that have `parts`, each on its own rows, if alpha is changed after the fit."""
    return _line([_parts(head, rows) for head, rows in heads], alpha_range).path


def _parts(head: Head, rows: Rows) -> Parts:
    """What an exact path is made from; rows whose logits diverged are right at no alpha."""
    assert isinstance(head, LineInAlpha)
    base, delta = head.parts(rows.features)
    lost = ~(sane(base) & sane(delta))
    if lost.any():
        base, delta = base.copy(), delta.copy()
        base[lost], delta[lost] = 0, 0
        base[lost, rows.labels[lost]] = -1
    return base, delta, rows.labels


def _line(parts: Iterable[Parts], alpha_range: tuple[float, float]) -> Line:
    lo, hi = alpha_range
    return lines((((), *of_split) for of_split in parts), lo=lo, hi=hi)[()]
