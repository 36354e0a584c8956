"""Successive halving: every setting begins, and the better third of them goes on.

What ties with the last of that third goes on too: after few steps many settings have learned nothing yet, and to keep
the first of them in grid order would be to choose by that order.

Source: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization
(arXiv 1502.07943), with the factor 3 that is usual since Hyperband (arXiv 1603.06560).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby

import torch

from adapters.errors import AdapterError
from adapters.search.draws import Draw
from adapters.search.grid import Setting
from adapters.search.trials import Build, Outcomes, Scorer, Tell, Trial, trials_of
from adapters.training.side_by_side import side_by_side
from adapters.training.stacking import blocks_of
from adapters.training.trained_head import InTraining, TrainedHead

ETA = 3
RUNGS = (1 / 9, 1 / 3)
"""Shares of the steps after which the best of `ETA` go on."""


def check_halving(head_class: type) -> None:
    """Refuse a method that is not trained in steps.

    Raises:
        AdapterError: it is not.
    """
    if not issubclass(head_class, TrainedHead):
        raise AdapterError(
            f"--halving stops trainings early, but {getattr(head_class, 'method', head_class)} is not trained in "
            "stacks of steps; leave out --halving"
        )


def train_best(
    draws: Sequence[Draw], settings: Sequence[Setting], build: Build, scorer: Scorer, tell: Tell
) -> Outcomes:
    """Train on as `trials.train_all` does, but give up all but the best third of each draw's settings at every rung.

    Draws of as many shots train together; their stacks all stay in memory until they end. Of an earlier run of the same
    search those that ended are not begun again, and the others go on at the rungs that were decided then.
    """
    decided = _decided(scorer.outcomes)
    trials = trials_of(draws, settings, scorer.outcomes)
    for _, some in groupby(trials, key=lambda trial: draws[trial.draw].task.shots):
        _Bracket(list(some), draws, settings, build, scorer, tell, decided).run()
    return scorer.outcomes


def _decided(found: Outcomes) -> Counter[int]:
    """How many rungs of each draw an earlier run had passed, by who had been given up or was trained to the end."""
    decided = Counter[int]()
    for (draw, _), outcome in found.items():
        passed = len(RUNGS) if outcome.rung is None else outcome.rung + 1
        decided[draw] = max(decided[draw], passed)
    return decided


class _Bracket:
    """Trainings that begin together.

    Attributes:
        running: the trainings that go on, with the trials in the order of their heads.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        draws: Sequence[Draw],
        settings: Sequence[Setting],
        build: Build,
        scorer: Scorer,
        tell: Tell,
        decided: Mapping[int, int],
    ) -> None:
        self.draws, self.scorer, self.tell, self.decided = draws, scorer, tell, decided
        heads = [build(draws[trial.draw], settings[trial.setting]) for trial in trials]
        supports = [draws[trial.draw].splits[trial.split][0] for trial in trials]
        self.running: list[tuple[InTraining, list[Trial]]] = [
            (block.begin(), [trials[i] for i in block.numbers]) for block in blocks_of(heads, supports)
        ]

    def run(self) -> None:
        """Rung after rung, then to the end."""
        for rung, share in enumerate(RUNGS):
            self._advance(share, last=False)
            self._keep(self._survivors(rung), rung)
        self._advance(1.0, last=True)

    def _advance(self, share: float, *, last: bool) -> None:
        """Train all stacks up to a share of their steps and score their heads."""

        def work(training: InTraining) -> None:
            training.stack.advance(max(1, round(share * training.stack.steps)))
            training.finish()

        trials_of = {id(training): trials for training, trials in self.running}
        for training in side_by_side(work, [training for training, _ in self.running]):
            for trial, head in zip(trials_of[id(training)], training.heads, strict=True):
                self.scorer.add(trial, head, None if last else training.stack.taken)
                if last:
                    self.tell(trial)

    def _survivors(self, rung: int) -> set[tuple[int, int]]:
        """Of each draw the third of the settings with most right answers, and those that tie with its last.

        Where an earlier run decided that, they are all that is left.
        """
        alive_now: defaultdict[int, set[int]] = defaultdict(set)
        for _, trials in self.running:
            for trial in trials:
                alive_now[trial.draw].add(trial.setting)
        alive: set[tuple[int, int]] = set()
        for draw, numbers in alive_now.items():
            scores = {number: self.scorer.outcomes[draw, number].correct for number in numbers}
            stay = len(scores) if rung < self.decided[draw] else 1 + (len(scores) - 1) // ETA
            least = sorted(scores.values(), reverse=True)[stay - 1]
            alive |= {(draw, number) for number, score in scores.items() if score >= least}
        return alive

    def _keep(self, alive: set[tuple[int, int]], rung: int) -> None:
        before = {(trial.draw, trial.setting) for _, trials in self.running for trial in trials}
        outcomes = self.scorer.outcomes
        # At once: an interruption in between must not leave a rung that looks decided and is not.
        outcomes.update({which: outcomes[which]._replace(rung=rung) for which in before - alive})
        kept = []
        for training, trials in self.running:
            places = [i for i, trial in enumerate(trials) if (trial.draw, trial.setting) in alive]
            for trial in trials:
                if (trial.draw, trial.setting) not in alive:
                    self.tell(trial)
            if places and len(places) < len(trials):
                training.keep(torch.tensor(places))
            if places:
                kept.append((training, [trials[i] for i in places]))
        self.running = kept
