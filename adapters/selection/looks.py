"""Counting right answers on held-out rows at several points of one training, so as to choose where to stop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.arrays import Support
from adapters.head import Rows
from adapters.training.loop import products, threads_for
from adapters.training.stacking import Block, Stack, TrainedHead, blocks_of, side_by_side

H = TypeVar("H", bound=TrainedHead)


class WatchedStack(Stack[H]):
    """A stack whose heads can be asked while they are in training."""

    @abstractmethod
    def logits(self, place: int, features: Tensor) -> Tensor:
        """Logits (M, C), to a positive factor, that the head in that place gives to unit features (M, D) by now."""


def right_along(
    heads: Sequence[TrainedHead], splits: Sequence[tuple[Support, Rows]], looks: Sequence[int]
) -> NDArray[np.int64]:
    """Train heads together and count right answers on the way (heads, looks).

    Args:
        heads: whose stacks are `WatchedStack`s; they learn nothing that they keep.
        splits: what each is trained on, and the held-out rows that it is asked about.
        looks: numbers of steps after which to look, ascending.
    """
    right = np.zeros((len(heads), len(looks)), dtype=np.int64)

    def watch(block: Block) -> None:
        stack = block.stack()
        assert isinstance(stack, WatchedStack)
        own = [splits[number] for number in block.numbers]
        rows = [[torch.from_numpy(array).to(stack.device) for array in out] for _, out in own]
        work = products(len(rows[0][1]), *own[0][0].text.shape)
        for look, steps in enumerate(looks):
            stack.advance(steps)
            with threads_for(work), torch.inference_mode():
                for place, (features, labels) in enumerate(rows):
                    logits = stack.logits(place, features)
                    hits = (logits.argmax(1) == labels) & logits.isfinite().all(1)  # as `held_out.right` counts
                    right[block.numbers[place], look] = int(hits.sum())

    for _ in side_by_side(watch, blocks_of(heads, [support for support, _ in splits])):
        pass
    return right
