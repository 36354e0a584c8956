"""Many CLIP-Adapters in training; the gradients are written out by hand (`adapters.heads.clip_adapter.bottleneck`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adapters.arrays import Floats
from adapters.heads.clip_adapter.bottleneck import StackedBottleneck
from adapters.support import Support
from adapters.training.loop import class_logits, products
from adapters.training.stack import Stack
from adapters.training.stack_parts import Batches, per_head, rates_of


class Plan(NamedTuple):
    """A training: all that is drawn, scheduled or set."""

    support: Support
    image: tuple[Tensor, Tensor]
    """Initial W1 (H, D) and W2 (D, H)."""
    text: tuple[Tensor, Tensor] | None
    """Those of the text adapter."""
    rows: Tensor
    """Row numbers (steps, B) of a pool of all views."""
    rates: list[float]
    """Learning rate of every step."""
    alpha: float
    """Residual ratio of the image adapter."""
    text_alpha: float
    weight_decay: float
    momentum: float
    logit_scale: float


class AdapterStack(Stack):
    """G CLIP-Adapters in training.

    Attributes:
        image: the adapters of image features.
        said: the adapters of class text, or None.
        text: unit class text (G, C, D).
    """

    state = ("batches", "image", "said", "text", "logit_scale")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        supports = [plan.support for plan in plans]
        (steps, rows), (classes, dim) = plans[0].rows.shape, supports[0].text.shape
        work = products(len(plans), rows, dim, len(plans[0].image[0]))
        super().__init__(len(plans), device=device, steps=steps, work=work)
        self.batches = Batches.of(supports, [plan.rows for plan in plans], device)
        self.text = torch.stack([torch.from_numpy(each.text) for each in supports]).to(device)
        logit_scale, decay, ratio, text_ratio = (
            per_head([getattr(plan, name) for plan in plans], device)
            for name in ("logit_scale", "weight_decay", "alpha", "text_alpha")
        )
        self.logit_scale = logit_scale[:, None, None]
        rates = rates_of([plan.rates for plan in plans], device)
        sgd = {"rates": rates, "momentum": plans[0].momentum, "weight_decay": decay}
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
        loss, gradient = self.balance.cross_entropy(logits, self.batches.labels)
        self.loss.copy_(loss)
        along = logits.mul_(gradient)  # a unit row times its gradient, by classes
        if said is not None:
            said.backward((gradient * scale).mT, image.blended, along.sum(1)[..., None])
        image.backward(gradient.mul_(self.logit_scale), text, along.sum(2, keepdim=True))

    def learned(self, place: int) -> dict[str, Floats]:
        """The weights of both adapters."""
        found = dict(zip(("w1_", "w2_"), self.image.weights(place), strict=True))
        if self.said is not None:
            found.update(zip(("text_w1_", "text_w2_"), self.said.weights(place), strict=True))
        return found
