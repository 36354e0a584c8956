"""A stack: G trainings whose parameters lie side by side and are stepped together.

A step is one batched product for all of them, with each training's own learning rate, decay, alpha, seed, batches and
support. What one learns does not depend on who shares its stack: every operation of a step works along the first axis,
training by training. A stack is made from plans, frozen records of arrays and numbers, and gives arrays: it knows no
head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.training.balance import Balance
from adapters.training.loop import threads_for
from adapters.training.stack_parts import Stacked


class Stack(Stacked, ABC):
    """Trainings under way.

    A step reads only tensors that stay where they are: `load` puts its batch and rates there, `step` works on them in
    place. On a GPU the first step runs as it is, and is then captured as a CUDA graph, which launches all kernels of a
    step at once.

    Args:
        count: how many trainings G there are.
        device: where they run.
        steps: how many steps a whole training takes.
        work: numbers that the largest call of a step reads or writes (`training.loop.threads_for`).

    Attributes:
        taken: how many steps were taken.
        losses: loss of every training before every step taken (G, steps).
        balance: of classes, in the loss.
    """

    def __init__(self, count: int, *, device: torch.device, steps: int, work: int) -> None:
        self.device, self.steps, self.work, self.taken = device, steps, work, 0
        self.captures = device.type == "cuda"  # where every step is the same work on the same tensors
        self.losses = torch.zeros(count, steps, device=device)
        self.loss = torch.zeros(count, device=device)  # of one step: `step` writes it
        self.balance = Balance()
        self._replay: Callable[[], None] | None = None  # the step, once captured

    @abstractmethod
    def load(self, index: int) -> None:
        """Put what the step of that number sees, and its rates, where `step` reads them."""

    @abstractmethod
    def step(self) -> None:
        """Take one step, in place; writes `loss` (G,)."""

    @abstractmethod
    def learned(self, place: int) -> Mapping[str, NDArray[Any]]:
        """What the training in that place (0 to G - 1) has learned so far: arrays by the names of fitted attributes."""

    def advance(self, until: int | None = None) -> None:
        """Train up to and without the step `until`; None: to the end."""
        end = self.steps if until is None else min(until, self.steps)
        with torch.inference_mode(), threads_for(self.work):
            for index in range(self.taken, end):
                self.load(index)
                (self._replay or self.step)()
                self.losses[:, index] = self.loss
                if self.captures and self._replay is None:
                    self._replay = captured(self.step)
        self.taken = max(self.taken, end)

    def keep(self, places: Tensor) -> None:
        """Go on with some of the trainings only, in the order given."""
        places = places.to(self.device)
        super().keep(places)
        self.balance.keep(places)
        self.losses, self.loss = self.losses[places], self.loss[places]
        self._replay = None


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph, recorded without running."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
