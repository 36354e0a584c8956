"""Heads that are trained in steps, by themselves or in a stack."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.device import resolve_device
from adapters.head import Head
from adapters.support import Support
from adapters.training.balance import Balance, Balanced, balance_of
from adapters.training.loop import threads_for
from adapters.training.stack import Stack

P = TypeVar("P")
"""A head's plan of a training: a frozen record of arrays and numbers."""


class TrainedHead(Head, Generic[P]):
    """A head that is trained in steps, by itself or in a stack: `fit` is a stack of one.

    The head makes its plan, and takes the arrays that its stack gives.

    Attributes:
        losses_: training loss of every step; not saved.
    """

    device: str
    balance: Balanced = "none"
    losses_: Any

    def _fit(self, support: Support) -> None:
        with threads_for(support.views.size):  # copying a small support is not worth waking a second thread either
            training = InTraining([self], [support])
        training.stack.advance()
        training.finish()

    @abstractmethod
    def _plan(self, support: Support) -> P:
        """How a training on this support begins and goes on: all that is drawn, scheduled or set."""

    @staticmethod
    @abstractmethod
    def _stack(plans: Sequence[Any], device: torch.device) -> Stack:
        """Trainings of one `_stack_key` at their start."""

    @abstractmethod
    def _stack_key(self, support: Support) -> Hashable:
        """What heads must have in common to share a stack: shapes, numbers of steps and rows, the parts they have."""

    @abstractmethod
    def _state_bytes(self, support: Support) -> int:
        """Bytes of the parameters and moments of one head, and of its batch where that is larger."""

    def _take(self, learned: Mapping[str, NDArray[Any]]) -> None:
        """Become what a training has learned: arrays by the names of fitted attributes."""
        for name, array in learned.items():
            setattr(self, name, array)


class InTraining:
    """Heads of one `_stack_key` and `balance_of`, each prepared for its support, with the stack that trains them.

    Attributes:
        heads: in the order of the stack's places.
        stack: at the start of the training.
    """

    def __init__(self, heads: Sequence[TrainedHead[Any]], supports: Sequence[Support]) -> None:
        self.heads = list(heads)
        for head, support in zip(heads, supports, strict=True):
            head._prepare(support)
        plans = [head._plan(support) for head, support in zip(heads, supports, strict=True)]
        self.stack = heads[0]._stack(plans, resolve_device(heads[0].device))
        self.stack.balance = Balance.of(balance_of(heads[0].balance, supports[0]), supports, self.stack.device)

    @property
    def device(self) -> torch.device:
        """Where they are trained."""
        return self.stack.device

    def finish(self) -> None:
        """Let the heads take what was learned so far."""
        for place, head in enumerate(self.heads):
            head.losses_ = self.stack.losses[place, : self.stack.taken].cpu().numpy()
            head._take(self.stack.learned(place))

    def keep(self, places: Tensor) -> None:
        """Go on with some of the heads only, in the order given."""
        self.stack.keep(places)
        self.heads = [self.heads[place] for place in places.tolist()]
