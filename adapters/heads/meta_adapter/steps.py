"""The steps in which Meta-Adapter's weights are learnt: the rows of each, and the shots that its memory hides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adapters.support import Support, fold_of_rows
from adapters.training.loop import epoch_batches


class Step(NamedTuple):
    """One training step: rows (B,) of one of the sets in one view, and the slots hidden from its memory."""

    data: int
    rows: Tensor
    hidden: Tensor
    view: int = 0


def steps_of(
    supports: Sequence[Support], epochs: int, generator: torch.Generator, *, fifo: bool, batch_size: int
) -> list[Step]:
    """Every step on one or more sets; in an epoch those of all sets are shuffled together, and each draws a view.

    Args:
        supports: the sets.
        epochs: passes over all of them.
        generator: source of all draws.
        fifo: as in `epoch_of`.
        batch_size: most rows of a step.
    """
    steps: list[Step] = []
    for _ in range(epochs):
        epoch: list[Step] = []
        for number, support in enumerate(supports):
            epoch += epoch_of(number, support, generator, fifo=fifo, batch_size=batch_size)
        steps += [epoch[i] for i in torch.randperm(len(epoch), generator=generator).tolist()]
    views = [supports[step.data].views.shape[1] for step in steps]
    drawn = [int(torch.randint(count, (1,), generator=generator)) for count in views]
    return [step._replace(view=view) for step, view in zip(steps, drawn, strict=True)]


def epoch_of(number: int, support: Support, generator: torch.Generator, *, fifo: bool, batch_size: int) -> list[Step]:
    """One epoch's steps on one set.

    Args:
        number: which of the sets it is.
        support: the set.
        generator: source of all draws.
        fifo: batches of any rows, and nothing hidden; else those of a few shots of all classes, which are hidden.
        batch_size: most rows of a step.
    """
    if fifo:
        none = torch.zeros(0, dtype=torch.int64)
        batches = epoch_batches(len(support.labels), batch_size, 1, generator, drop_last=False)[0]
        return [Step(number, rows, none) for rows in batches]
    shot = torch.from_numpy(fold_of_rows(support.labels, support.shots))
    together = max(1, min(support.shots // 2, batch_size // len(support.classes)))
    steps = []
    for hidden in torch.split(torch.randperm(support.shots, generator=generator), together):
        rows = torch.isin(shot, hidden).nonzero()[:, 0]
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        steps += [Step(number, batch, hidden) for batch in torch.split(shuffled, batch_size) if len(batch)]
    return steps
