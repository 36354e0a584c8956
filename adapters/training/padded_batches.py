"""Batches of unequal sizes for a stack of trainings: incomplete ones are filled up with rows that weigh nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from adapters.support import Support
from adapters.training.stack_parts import Batches


class PaddedBatches(Batches):
    """What every step of every training sees, where batches differ in size between steps or trainings.

    On a GPU every step has the shape of the largest batch, so that it can be captured; on a CPU it is cut to the
    largest batch of that step.

    Attributes:
        weights: of the rows of the step that was loaded last (G, B); those of a training sum to 1.
        size: the largest batch of that step.
    """

    state = (*Batches.state, "shares", "weights")

    shares: Tensor
    weights: Tensor
    size: int
    longest: list[int]

    @classmethod
    def unequal(
        cls, supports: Sequence[Support], batches: Sequence[Sequence[Tensor]], device: torch.device
    ) -> PaddedBatches:
        """Batches of unit views, as `Batches.of` numbers them; the row numbers of each step of each training."""
        sizes = torch.tensor([[len(batch) for batch in each] for each in batches]).view(len(batches), -1)
        most = int(sizes.max()) if sizes.numel() else 0
        rows = torch.zeros(*sizes.shape, most, dtype=torch.int64)
        there = torch.arange(most) < sizes[..., None]
        rows[there] = torch.cat([rows.new_zeros(0), *(batch for each in batches for batch in each)])
        made = cls.of(supports, rows.unbind(), device)
        made.shares = (there / sizes[..., None]).to(device)
        made.weights = made.shares.new_zeros(len(batches), most)
        made.longest = [most if device.type == "cuda" else size for size in sizes.amax(0).tolist()]
        return made

    def load(self, index: int) -> None:
        """Gather the rows of a step."""
        super().load(index)
        self.weights.copy_(self.shares[:, index])
        self.size = self.longest[index]

    def seen(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features (G, B, D), class codes (G, B) and weights (G, B) of the step."""
        return self.features[:, : self.size], self.labels[:, : self.size], self.weights[:, : self.size]
