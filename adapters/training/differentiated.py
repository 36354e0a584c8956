"""Heads of too many layers for a gradient by hand: torch finds it from the loss, also for many as one program."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats
from adapters.device import resolve_device
from adapters.head import cosine_logits
from adapters.support import Support
from adapters.training.balance import Balance
from adapters.training.loop import cosine, epoch_batches, epochs_for_steps, threads_for, views_in_turn
from adapters.training.stack import Stack
from adapters.training.stack_parts import Batches, StackedAdamW, per_head, rates_of, steps_of
from adapters.training.trained_head import TrainedHead

Weights = Mapping[str, Tensor]
"""Matrices (..., out, in) by name; leading dimensions are trainings."""
BLOCK = 1 << 23
"""Most numbers that rows to be scored take at once."""


class Course(NamedTuple):
    """A training: all that is drawn, scheduled or set."""

    support: Support
    text: Tensor
    """What images are compared with: unit class text (C, D), or more of each class."""
    rows: Tensor
    """Row numbers (steps, B) of a pool of all views."""
    rates: list[float]
    """Learning rate of every step."""
    weight_decay: float
    weights: Weights
    """At the start."""
    numbers: Mapping[str, float]
    """What the loss takes by name, of each training."""
    loss: Callable[..., Tensor]
    """Losses (...) of weights, features (..., B, D), labels (..., B), `text` and the numbers (..., 1, 1); where classes
    are balanced also of the `balance`."""
    work: int
    """Numbers that the largest call of a step reads or writes."""


class DifferentiatedStack(Stack):
    """G trainings of one loss, by AdamW.

    Attributes:
        text: what images are compared with (G, C, D).
        batches: what a step sees.
        optimizer: of all weights of a training in one row (G, 1, P): one update whatever their number.
        numbers: what the loss takes by name, in the order of `Course.numbers` (G, n, 1, 1).
    """

    state = ("text", "batches", "optimizer", "numbers")

    def __init__(self, plans: Sequence[Course], device: torch.device) -> None:
        first = plans[0]
        super().__init__(len(plans), device=device, steps=len(first.rates), work=first.work)
        supports = [plan.support for plan in plans]
        self.text = torch.stack([plan.text for plan in plans]).to(device)
        self.batches = Batches.of(supports, [plan.rows for plan in plans], device)
        row = torch.stack([torch.cat([weight.flatten() for weight in plan.weights.values()])[None] for plan in plans])
        decay = per_head([plan.weight_decay for plan in plans], device)
        rates = rates_of([plan.rates for plan in plans], device)
        self.optimizer = StackedAdamW(row.to(device), rates, weight_decay=decay, eps=1e-8)
        given = [per_head(list(plan.numbers.values()), device) for plan in plans]
        self.numbers = torch.stack(given)[..., None, None]
        self._first = first

    def load(self, index: int) -> None:
        """Take the batch and the rates of a step."""
        self.batches.load(index)
        self.optimizer.load(index)

    def step(self) -> None:
        """AdamW on the loss."""
        numbers: dict[str, Any] = dict(zip(self._first.numbers, self.numbers.unbind(1), strict=True))
        with torch.inference_mode(False), torch.enable_grad():
            row = self.optimizer.weight.detach().requires_grad_()
            batch = self.batches
            balance = {"balance": self.balance} if self.balance else {}  # which not every loss takes
            losses = self._first.loss(
                self._unpacked(row), batch.features, batch.labels, self.text, **numbers, **balance
            )
            (gradient,) = torch.autograd.grad(losses.sum(), row)
        self.loss.copy_(losses.detach())
        self.optimizer.step(gradient)

    def learned(self, place: int) -> dict[str, Floats]:
        """The weights."""
        weights = self._unpacked(self.optimizer.weight[place])
        return {f"{name}_": weight.cpu().numpy() for name, weight in weights.items()}

    def _unpacked(self, row: Tensor) -> dict[str, Tensor]:
        """The weights in a row (..., 1, P)."""
        shapes = [tuple(weight.shape) for weight in self._first.weights.values()]
        parts = torch.split(row.squeeze(-2), [math.prod(shape) for shape in shapes], -1)
        return {
            name: part.reshape(*part.shape[:-1], *shape)
            for name, part, shape in zip(self._first.weights, parts, shapes, strict=True)
        }


class DifferentiatedHead(TrainedHead[Course]):
    """A head on image and text, residual at alpha, that says how its weights begin, its loss and its logits.

    The fitted attributes in `learned` are its weights, each by its name and `_`.
    """

    alpha: float
    lr: float
    weight_decay: float
    batch_size: int
    epochs: int | None
    logit_scale: float
    seed: int

    @abstractmethod
    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Weights at the start."""

    @abstractmethod
    def _loss(self, support: Support) -> Callable[..., Tensor]:
        """See `Course.loss`; all heads of a `_stack_key` have the same."""

    @abstractmethod
    def _numbers(self) -> dict[str, float]:
        """What the loss takes by name."""

    @abstractmethod
    def _scored(self, weights: Weights, features: Tensor, text: Tensor) -> Tensor:
        """Logits (B, C) of unit features (B, D) before unit text (C, D)."""

    @abstractmethod
    def _numbers_a_row(self, classes: int, dim: int) -> int:
        """How many numbers the largest tensor has for one image."""

    def _plan(self, support: Support) -> Course:
        generator = torch.Generator().manual_seed(self.seed)  # on the CPU: the same draws whatever the device
        rows, views, dim = support.views.shape
        weights = self._initial(dim, generator)
        plan = epoch_batches(rows, self.batch_size, self._epochs(rows), generator, drop_last=True)
        batch = min(self.batch_size, rows)
        steps = steps_of(self._batches(plan, views), batch)
        work = batch * self._numbers_a_row(*support.text.shape)
        rates = cosine(self.lr, len(steps))
        text, loss = self._compared(support), self._loss(support)
        return Course(support, text, steps, rates, self.weight_decay, weights, self._numbers(), loss, work)

    def _compared(self, support: Support) -> Tensor:
        """See `Course.text`."""
        return torch.from_numpy(support.text)

    def _batches(self, plan: list[list[Tensor]], views: int) -> list[list[Tensor]]:
        """Rows of a pool of all views, epoch by epoch, of batches of images."""
        return views_in_turn(plan, views)

    def _epochs(self, rows: int) -> int:
        return epochs_for_steps(rows, self.batch_size) if self.epochs is None else self.epochs

    def _stack_key(self, support: Support) -> Hashable:
        return support.views.shape, support.text.shape, self.batch_size, self._epochs(len(support.labels))

    def _state_bytes(self, support: Support) -> int:
        classes, dim = support.text.shape
        return 4 * 3 * self._count(classes, dim, len(support.labels))

    @staticmethod
    def _stack(plans: Sequence[Course], device: torch.device) -> DifferentiatedStack:
        return DifferentiatedStack(plans, device)

    def for_classes(self, text: Any) -> Self:
        """What was learned before other classes' text: it does not know which classes it was trained on."""
        return self._with_text(text)

    def _logits(self, features: Floats) -> Floats:
        if not self.alpha:  # zero-shot, to the last bit
            return cosine_logits(features, self.text_, self.logit_scale)
        device = resolve_device(self.device)
        weights, text = self._weights(device), torch.from_numpy(self.text_).to(device)
        wide = self._numbers_a_row(*self.text_.shape)
        with torch.inference_mode(), threads_for(min(BLOCK, len(features) * wide)):
            blocks = torch.split(torch.from_numpy(features), max(1, BLOCK // wide))
            return np.asarray(torch.cat([self._scored(weights, block.to(device), text).cpu() for block in blocks]))

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        text = torch.from_numpy(self.text_)
        if not self.alpha:
            return self.logit_scale * features @ text.T
        return self._scored(self._weights(torch.device("cpu")), features, text)

    def _weights(self, device: torch.device) -> dict[str, Tensor]:
        return {name.removesuffix("_"): torch.from_numpy(getattr(self, name)).to(device) for name in self.learned}


def uniform(out: int, fan_in: int, generator: torch.Generator) -> Tensor:
    """A matrix (out, fan_in), uniform within 1 / sqrt(fan_in)."""
    return torch.empty(out, fan_in).uniform_(-1, 1, generator=generator).div_(math.sqrt(fan_in))


def mean_cross_entropy(logits: Tensor, labels: Tensor, balance: Balance | None = None) -> Tensor:
    """Cross-entropy (...) of logits (..., B, C) and class codes (..., B), the mean over the rows."""
    if balance is None:
        return -torch.log_softmax(logits, -1).gather(-1, labels[..., None]).mean((-2, -1))
    own = torch.log_softmax(balance.shifted(logits), -1).gather(-1, labels[..., None])[..., 0]
    weights = balance.of_rows(labels)
    return -(own if weights is None else own * weights).mean(-1)
