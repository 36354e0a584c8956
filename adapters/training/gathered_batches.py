"""Batches for a stack of trainings whose steps are short: rows are gathered, and made ready, for many steps at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adapters.training.stack_parts import Batches

GATHERED = 64
"""Most steps whose rows are gathered at once."""
GATHERED_BYTES = 1 << 22
"""Most bytes of features gathered at once, where that is more than one step."""


class GatheredBatches(Batches):
    """What every step of every training sees, for a linear layer under cross-entropy.

    A step on 32 rows is mostly the cost of calls; these would be a third of them.

    Args:
        pools: as `Batches` takes them, and so labels, rows and device.
        scale: what features are multiplied with (G, 1, 1).
        classes: C.

    Attributes:
        features: scaled rows of the step that was loaded last (G, B, D).
        truth: 1 where a row is of a class, else 0 (G, C, B).
    """

    state = (*Batches.state, "scale", "truth")

    def __init__(
        self,
        pools: Sequence[Tensor],
        labels: Sequence[Tensor],
        rows: Sequence[Tensor],
        device: torch.device,
        *,
        scale: Tensor,
        classes: int,
    ) -> None:
        super().__init__(pools, labels, rows, device)
        self.scale = scale
        self.truth = self.features.new_zeros(len(self.labels), classes, self.labels.shape[1])
        self.ahead: list[tuple[Tensor, Tensor]] = []
        self.begin = 0
        self.copies = device.type == "cuda"  # a captured step reads from the same place every time

    def load(self, index: int) -> None:
        """Take the rows of a step from those gathered, or gather on."""
        if not self.begin <= index < self.begin + len(self.ahead):
            self._gather(index)
        features, truth = self.ahead[index - self.begin]
        if self.copies:
            self.features.copy_(features)
            self.truth.copy_(truth)
        else:
            self.features, self.truth = features, truth

    def keep(self, places: Tensor) -> None:
        """As of any part; what was gathered for the others too is forgotten."""
        super().keep(places)
        self.ahead = []

    def _gather(self, index: int) -> None:
        groups, batch, dim = self.features.shape
        count = max(1, min(GATHERED, GATHERED_BYTES // max(4 * groups * batch * dim, 1)))
        rows = self.rows[:, index : index + count].transpose(0, 1)
        flat = rows.flatten()
        features = self.pool.view(-1, dim).index_select(0, flat).view(*rows.shape, dim).mul_(self.scale)
        codes = self.codes.view(-1).index_select(0, flat).view(*rows.shape)[:, :, None]
        truth = features.new_zeros(len(rows), *self.truth.shape).scatter_(2, codes, 1)
        self.ahead, self.begin = list(zip(features, truth, strict=True)), index
