"""Learning the weights of Meta-Adapter on one or more sets of base classes; the equations are in `meta_adapter`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats
from adapters.heads.meta_adapter.attention import Memory, Weights, attend, attend_backward
from adapters.heads.meta_adapter.steps import Step
from adapters.support import Support
from adapters.training.loop import class_logits, cosine, cross_entropy
from adapters.training.padded_batches import PaddedBatches
from adapters.training.stack import Stack
from adapters.training.stack_parts import Stacked, StackedAdamW, per_head, rates_of

EPS = 1e-4
"""Added to the root of AdamW's second moment."""


class MetaSet(Stacked):
    """One set of base classes of each of G trainings, and its steps.

    A memory holds row numbers of a pool: of the means of all rows, then of all views. What is pushed into it is so
    known before the features are gathered.

    Attributes:
        text: unit class text (G, C, D).
        rows: the memory (G, C, K, D).
        present: which of its rows are there (G, C, K).
        left: which of them the step that was loaded last may see (G, C, K).
    """

    state = ("text", "rows", "present", "left", "shown", "batches")

    def __init__(
        self, supports: Sequence[Support], steps: Sequence[Sequence[Step]], *, fifo: bool, device: torch.device
    ) -> None:
        self.fifo, self.pushed = fifo, 0
        self.text = torch.stack([torch.from_numpy(each.text) for each in supports]).to(device)
        pools = {
            id(each): torch.from_numpy(each.means if not fifo else _means_and_views(each)).to(device)
            for each in supports
        }
        self.pools = [pools[id(each)] for each in supports]
        self.memories = [Memory.of(each) for each in supports]
        self.rows, self.present = self._recalled()
        self.left = self.present.clone()
        count, views, _ = supports[0].views.shape
        seen = [[step.rows * views + step.view for step in each] for each in steps]
        self.batches = PaddedBatches.unequal(supports, seen, device)
        self.news = [
            [(count + rows, torch.from_numpy(support.labels)[step.rows]) for rows, step in zip(own, each, strict=True)]
            for support, own, each in zip(supports, seen, steps, strict=True)
        ]
        shown = torch.ones(len(steps), len(steps[0]), supports[0].shots, dtype=torch.bool)
        for training, each in enumerate(steps):
            for place, step in enumerate(each):
                shown[training, place, step.hidden] = False
        self.shown = shown.to(device)

    def load(self, place: int) -> None:
        """Take the batch of a step, and what its memory may show."""
        self.batches.load(place)
        self.remember(place)
        torch.logical_and(self.present, self.shown[:, place, None], out=self.left)

    def remember(self, place: int) -> None:
        """Push the batches of all steps before that one, as the released code does; only with `fifo`."""
        if not self.fifo or place == self.pushed:
            return
        for memory, news in zip(self.memories, self.news, strict=True):
            for rows, labels in news[self.pushed : place]:
                memory.push(rows, labels)
        self.pushed = place
        rows, present = self._recalled()
        self.rows.copy_(rows)
        self.present.copy_(present)

    def keep(self, places: Tensor) -> None:
        """As of any part."""
        super().keep(places)
        kept = places.tolist()
        self.pools = [self.pools[place] for place in kept]
        self.memories = [self.memories[place] for place in kept]
        self.news = [self.news[place] for place in kept]

    def _recalled(self) -> tuple[Tensor, Tensor]:
        rows = [pool[memory.rows.to(pool.device)] for pool, memory in zip(self.pools, self.memories, strict=True)]
        present = torch.stack([memory.present for memory in self.memories])
        return torch.stack(rows), present.to(rows[0].device)


class Plan(NamedTuple):
    """A learning of weights: all that is drawn, scheduled or set."""

    supports: list[Support]
    """One or more sets of base classes."""
    weights: Weights
    """At the start."""
    steps: list[Step]
    lr: float
    weight_decay: float
    logit_scale: float
    fifo: bool
    """Whether every batch is pushed into the memory, as the released code does."""
    batch_size: int


class MetaStack(Stack):
    """G sets of weights in learning; the gradient is written out by hand.

    Attributes:
        sets: the base sets.
        optimizer: of all weights in one matrix (G, 2 D + 2, D): W_q, W_k, w and b, the last with a row of zeros.
    """

    state = ("optimizer", "gradient", "logit_scale")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        first, dim = plans[0], plans[0].supports[0].text.shape[1]
        # A step reads the whole memory and waits for its bandwidth, which a second thread does not raise.
        super().__init__(len(plans), device=device, steps=len(first.steps), work=first.batch_size * dim)
        self.sets = [
            MetaSet(
                [plan.supports[number] for plan in plans],
                [[step for step in plan.steps if step.data == number] for plan in plans],
                fifo=first.fifo,
                device=device,
            )
            for number in range(len(first.supports))
        ]
        self.captures &= len(self.sets) == 1  # a captured step would know one set only
        # The set of every step, and which of its steps that is; where several trainings share a stack there is one set.
        steps = first.steps
        self.turns = [(step.data, sum(each.data == step.data for each in steps[:i])) for i, step in enumerate(steps)]
        self.number = 0
        packed = torch.zeros(len(plans), 2 * dim + 2, dim)
        for place, plan in enumerate(plans):
            for part, weight in zip(unpacked(packed[place]), plan.weights, strict=True):
                part.copy_(weight)
        rates = rates_of([cosine(plan.lr, len(steps)) for plan in plans], device)
        decay = per_head([plan.weight_decay for plan in plans], device)
        self.optimizer = StackedAdamW(packed.to(device), rates, weight_decay=decay, eps=EPS)
        self.gradient = torch.zeros_like(self.optimizer.weight)
        self.logit_scale = per_head([plan.logit_scale for plan in plans], device)[:, None, None]

    def load(self, index: int) -> None:
        """Take the set, the batch and the rates of a step."""
        self.number, place = self.turns[index]
        self.sets[self.number].load(place)
        self.optimizer.load(index)

    def step(self) -> None:
        """AdamW on cross-entropy over all classes of a step's set."""
        data, weights = self.sets[self.number], unpacked(self.optimizer.weight)
        features, labels, shares = data.batches.seen()
        forward = attend(weights, data.text, data.rows, data.left)
        loss, of_logits = cross_entropy(class_logits(features, forward.unit).mul_(self.logit_scale), labels, shares)
        self.loss.copy_(loss)
        of_text = of_logits.mul_(self.logit_scale).mT @ features
        self.gradient[:, -1].zero_()
        attend_backward(of_text, forward, weights, data.text, data.rows, unpacked(self.gradient))
        self.optimizer.step(self.gradient)

    def learned(self, place: int) -> dict[str, Floats]:
        """The weights, and the text adapted to the first set."""
        weights = Weights(*(part.clone() for part in unpacked(self.optimizer.weight[place])))
        data = self.sets[0]
        data.remember(sum(number == 0 for number, _ in self.turns[: self.taken]))
        adapted = attend(weights, data.text[place], data.rows[place], data.present[place]).unit
        found = {name + "_": weight.cpu().numpy() for name, weight in weights._asdict().items()}
        return {**found, "adapted_": adapted.cpu().numpy()}

    def keep(self, places: Tensor) -> None:
        """As of any stack."""
        super().keep(places)
        for data in self.sets:
            data.keep(places)


def unpacked(packed: Tensor) -> Weights:
    """The four weights in one (..., 2 D + 2, D), as views of it."""
    dim = packed.shape[-1]
    return Weights(
        packed[..., :dim, :], packed[..., dim : 2 * dim, :], packed[..., 2 * dim : 2 * dim + 1, :], packed[..., -1, :1]
    )


def _means_and_views(support: Support) -> Floats:
    return np.concatenate([support.means, support.unit_views.reshape(-1, support.means.shape[1])])
