"""Training the keys of Tip-Adapter-F; the equations are in `tip_adapter_f`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.support import Support
from adapters.training.class_sums import add_by_class
from adapters.training.loop import class_logits
from adapters.training.padded_batches import PaddedBatches
from adapters.training.stack import Stack
from adapters.training.stack_parts import StackedAdamW, per_head, rates_of

EPS = 1e-4
"""Added to the root of AdamW's second moment."""


class Plan(NamedTuple):
    """A training of keys: all that is drawn, scheduled or set."""

    support: Support
    batches: list[Tensor]
    """Row numbers of every batch, of a pool of all views."""
    rates: list[float]
    """Learning rate of every step."""
    alpha: float
    """Alpha and beta while the keys are trained."""
    beta: float
    weight_decay: float
    logit_scale: float


class KeyStack(Stack):
    """The keys of G caches in training; the gradient is written out by hand.

    Attributes:
        key_labels: class codes of the keys (G, N).
        text: unit class text (G, C, D).
        optimizer: of the keys (G, N, D).
    """

    state = ("key_labels", "text", "batches", "optimizer", "alpha", "beta", "logit_scale")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        supports = [plan.support for plan in plans]
        super().__init__(len(plans), device=device, steps=len(plans[0].batches), work=supports[0].means.size)
        keys, self.key_labels, self.text = (
            torch.stack([torch.from_numpy(getattr(each, name)) for each in supports]).to(device)
            for name in ("means", "labels", "text")
        )
        self.batches = PaddedBatches.unequal(supports, [plan.batches for plan in plans], device)
        rates = rates_of([plan.rates for plan in plans], device)
        decay = per_head([plan.weight_decay for plan in plans], device)
        self.optimizer = StackedAdamW(keys, rates, weight_decay=decay, eps=EPS)
        self.alpha, self.beta, self.logit_scale = (
            per_head([getattr(plan, name) for plan in plans], device)[:, None, None]
            for name in ("alpha", "beta", "logit_scale")
        )

    def load(self, index: int) -> None:
        """Take the batch and the rates of a step."""
        self.batches.load(index)
        self.optimizer.load(index)

    def step(self) -> None:
        """AdamW on cross-entropy."""
        features, labels, weights = self.batches.seen()
        sharpened = (features @ self.optimizer.weight.mT).sub_(1).mul_(self.beta).exp_().mul_(self.alpha)
        voters = self.key_labels[:, None].expand(sharpened.shape)
        logits = add_by_class(class_logits(features, self.text).mul_(self.logit_scale), sharpened, voters)
        loss, gradient = self.balance.cross_entropy(logits, labels, weights)
        self.loss.copy_(loss)
        affinity = sharpened.mul_(gradient.gather(2, voters)).mul_(self.beta)
        self.optimizer.step(affinity.mT @ features)

    def learned(self, place: int) -> dict[str, NDArray[Any]]:
        """The trained keys, and the classes they vote for."""
        keys, labels = (each[place].cpu().numpy() for each in (self.optimizer.weight, self.key_labels))
        return {"keys_": keys, "labels_": labels}
