"""Counting right answers on held-out rows at several points of one training, so as to choose where to stop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.selection.held_out import sane
from adapters.support import Rows, Support
from adapters.training.loop import products, threads_for
from adapters.training.side_by_side import side_by_side
from adapters.training.stack import Stack
from adapters.training.stacking import Block, blocks_of
from adapters.training.trained_head import TrainedHead


class WatchedStack(Stack):
    """A stack whose trainings can be asked on the way."""

    @abstractmethod
    def logits(self, place: int, features: Tensor) -> Tensor:
        """Logits (M, C), to a positive factor, that the training in that place gives to unit features (M, D) by now."""


def right_along(
    heads: Sequence[TrainedHead[Any]], splits: Sequence[tuple[Support, Rows]], looks: Sequence[int]
) -> NDArray[np.int64]:
    """Train heads together and count right answers on the way (heads, looks).

    Args:
        heads: whose stacks are `WatchedStack`s; they learn nothing that they keep.
        splits: what each is trained on, and the held-out rows that it is asked about.
        looks: numbers of steps after which to look, ascending.
    """
    right = np.zeros((len(heads), len(looks)), dtype=np.int64)

    def watch(block: Block) -> None:
        stack = block.begin().stack
        assert isinstance(stack, WatchedStack)
        own = [splits[number] for number in block.numbers]
        rows = [[torch.from_numpy(array).to(stack.device) for array in out] for _, out in own]
        work = products(len(rows[0][1]), *own[0][0].text.shape)
        for look, steps in enumerate(looks):
            stack.advance(steps)
            with threads_for(work), torch.inference_mode():
                for place, (features, labels) in enumerate(rows):
                    logits = stack.logits(place, features)
                    hits = (logits.argmax(1) == labels) & sane(logits)
                    right[block.numbers[place], look] = int(hits.sum())

    for _ in side_by_side(watch, blocks_of(heads, [support for support, _ in splits])):
        pass
    return right
