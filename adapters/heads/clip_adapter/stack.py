"""Many CLIP-Adapters in training; the gradients are written out by hand (`adapters.heads.clip_adapter.bottleneck`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from adapters.arrays import Support
from adapters.heads.clip_adapter.bottleneck import StackedBottleneck
from adapters.training.loop import class_logits, cross_entropy, products
from adapters.training.stacked import Batches, per_head, rates_of
from adapters.training.stacking import Stack

if TYPE_CHECKING:
    from adapters.heads.clip_adapter.clip_adapter import ClipAdapter


class Plan(NamedTuple):
    """How a training begins and goes on: all that is drawn or scheduled."""

    image: tuple[Tensor, Tensor]
    """Initial W1 (H, D) and W2 (D, H)."""
    text: tuple[Tensor, Tensor] | None
    """Those of the text adapter."""
    rows: Tensor
    """Row numbers (steps, B) of a pool of all views."""
    rates: list[float]
    """Learning rate of every step."""


class AdapterStack(Stack["ClipAdapter"]):
    """G CLIP-Adapters in training.

    Attributes:
        image: the adapters of image features.
        said: the adapters of class text, or None.
        text: unit class text (G, C, D).
    """

    state = ("batches", "image", "said", "text", "logit_scale")

    def __init__(self, heads: Sequence[ClipAdapter], supports: Sequence[Support]) -> None:
        plans = [head._plan(support) for head, support in zip(heads, supports, strict=True)]
        (steps, rows), (classes, dim) = plans[0].rows.shape, supports[0].text.shape
        super().__init__(heads, steps=steps, work=products(len(heads), rows, dim, heads[0]._width(dim)))
        self.batches = Batches.of(supports, [plan.rows for plan in plans], self.device)
        self.text = torch.stack([torch.from_numpy(each.text) for each in supports]).to(self.device)
        logit_scale, decay, text_ratio = (
            per_head([getattr(head, name) for head in heads], self.device)
            for name in ("logit_scale", "weight_decay", "text_alpha")
        )
        self.logit_scale = logit_scale[:, None, None]
        rates = rates_of([plan.rates for plan in plans], self.device)
        sgd = {"rates": rates, "momentum": heads[0].momentum, "weight_decay": decay}
        ratio = per_head([head._train_ratio() for head in heads], self.device)
        self.image = StackedBottleneck.of([plan.image for plan in plans], ratio, rows, self.batches, **sgd)
        said = [plan.text for plan in plans if plan.text]
        self.said = StackedBottleneck.of(said, text_ratio, classes, None, **sgd) if said else None

    def load(self, index: int) -> None:
        """Take the batch and the rates of a step."""
        self.batches.load(index)
        self.image.load(index)
        if self.said is not None:
            self.said.load(index)

    def step(self) -> None:
        """SGD on cross-entropy."""
        image, said, text = self.image, self.said, self.text
        image.forward(self.batches.features)
        if said is not None:
            said.forward(text)
            text = said.blended / said.norm
        scale = self.logit_scale / image.norm
        logits = class_logits(image.blended, text).mul_(scale)
        loss, gradient = cross_entropy(logits, self.batches.labels)
        self.loss.copy_(loss)
        along = logits.mul_(gradient)  # a unit row times its gradient, by classes
        if said is not None:
            said.backward((gradient * scale).mT, image.blended, along.sum(1)[..., None])
        image.backward(gradient.mul_(self.logit_scale), text, along.sum(2, keepdim=True))

    def write(self, head: ClipAdapter, place: int) -> None:
        """The weights of both adapters."""
        head.w1_, head.w2_ = self.image.weights(place)
        if self.said is not None:
            head.text_w1_, head.text_w2_ = self.said.weights(place)
