"""What every setting is compared on: for each number of shots and seed a support set, and rows held out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.arrays import unit
from adapters.selection.held_out import held_out_splits
from adapters.selection.refit import FOLDS
from adapters.selection.regimes import Regime, learnt_from
from adapters.support import Rows, Support
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from adapters.head import Head
    from featcache.cache.reading import Cache


@dataclass(frozen=True, eq=False)
class Draw:
    """One draw of shots.

    Attributes:
        task: the few-shot task.
        support: its shots.
        splits: pairs of what to fit on and what to count right answers on; none where nothing can be chosen.
    """

    task: Task
    support: Support
    splits: tuple[tuple[Support, Rows], ...]

    @property
    def rows(self) -> int:
        """Held-out rows of all splits."""
        return sum(len(rows.labels) for _, rows in self.splits)


def draw_all(
    head: type[Head],
    cache: Cache,
    shots: Sequence[int],
    seeds: Sequence[int],
    regime: Regime,
    *,
    allow_fewer: bool,
    prompts: str | None,
) -> list[Draw]:
    """Every draw for heads of a class, by shots and then by seed.

    Raises:
        TaskError: the cache cannot give them, or lacks the rows that the regime looks at.
    """
    tasks = [
        Task.sample(cache, shots=k, seed=seed, allow_fewer=allow_fewer, prompts=prompts)
        for k in shots
        for seed in seeds
    ]
    # A whole split is read once for all draws.
    whole = regime.held_out(tasks[0]) if regime.common else None
    shared = None if whole is None else Rows(unit(whole[0]), whole[1])
    draws = []
    for task in tasks:
        given = learnt_from(head, task)
        support = Support.check(given.inputs, given.labels, task.text, unlabelled=head.takes_unlabelled)
        rows = shared
        if rows is None and (held := regime.held_out(task)) is not None:
            rows = Rows(unit(held[0]), held[1])
        nothing = rows is None and support.shots < 2
        draws.append(Draw(task, support, () if nothing else tuple(held_out_splits(support, rows, FOLDS))))
    return draws
