"""Training the keys of Tip-Adapter-F; the equations are in `tip_adapter_f`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from adapters.arrays import Support
from adapters.training.loop import class_logits, cross_entropy
from adapters.training.padded_batches import PaddedBatches
from adapters.training.stacked import StackedAdamW, per_head, rates_of
from adapters.training.stacking import Stack

if TYPE_CHECKING:
    from adapters.heads.tip.tip_adapter_f import TipAdapterF

EPS = 1e-4
"""Added to the root of AdamW's second moment."""


class KeyStack(Stack["TipAdapterF"]):
    """The keys of G caches in training; the gradient is written out by hand.

    Attributes:
        key_labels: class codes of the keys (G, N).
        text: unit class text (G, C, D).
        optimizer: of the keys (G, N, D).
    """

    state = ("key_labels", "text", "batches", "optimizer", "alpha", "beta", "logit_scale")

    def __init__(self, heads: Sequence[TipAdapterF], supports: Sequence[Support]) -> None:
        plans = [head._plan(support) for head, support in zip(heads, supports, strict=True)]
        super().__init__(heads, steps=len(plans[0][0]), work=supports[0].means.size)
        keys, self.key_labels, self.text = (
            torch.stack([torch.from_numpy(getattr(each, name)) for each in supports]).to(self.device)
            for name in ("means", "labels", "text")
        )
        self.batches = PaddedBatches.unequal(supports, [batches for batches, _ in plans], self.device)
        rates = rates_of([rates for _, rates in plans], self.device)
        decay = per_head([head.weight_decay for head in heads], self.device)
        self.optimizer = StackedAdamW(keys, rates, weight_decay=decay, eps=EPS)
        trained_with = zip(*(head._trained_with() for head in heads), strict=True)
        self.alpha, self.beta, self.logit_scale = (
            per_head(values, self.device)[:, None, None]
            for values in (*trained_with, [head.logit_scale for head in heads])
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
        logits = class_logits(features, self.text).mul_(self.logit_scale).scatter_add_(2, voters, sharpened)
        loss, gradient = cross_entropy(logits, labels, weights)
        self.loss.copy_(loss)
        affinity = sharpened.mul_(gradient.gather(2, voters)).mul_(self.beta)
        self.optimizer.step(affinity.mT @ features)

    def write(self, head: TipAdapterF, place: int) -> None:
        """A cache of the trained keys."""
        keys, labels = (each[place].cpu().numpy() for each in (self.optimizer.weight, self.key_labels))
        head.cache_ = head._cache(keys, labels, self.text.shape[1])
