"""The bottleneck of CLIP-Adapter and its training step, with the gradients written out.

    A(x) = ReLU(W2 ReLU(W1 x)),    u = n(ratio A(x) + (1 - ratio) x),    n(x) = x / |x|

Rows x (B, D), W1 (H, D), W2 (D, H), no biases. The same block serves image features and class text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adapters.training import SGD, cross_entropy


class Batch(NamedTuple):
    """One step's unit features (B, D) and class codes (B,)."""

    features: Tensor
    labels: Tensor


class Adapted(NamedTuple):
    """A forward pass with what its backward pass needs; B rows, bottleneck H."""

    hidden: Tensor
    """After the first layer and its ReLU (B, H)."""
    active: Tensor
    """Where the second ReLU lets through (B, D)."""
    norm: Tensor
    """Norm of the blended rows (B, 1)."""
    unit: Tensor
    """Blended rows, normalised (B, D)."""


class Bottleneck:
    """The two weights of one adapter.

    Args:
        w1: (H, D).
        w2: (D, H).
        ratio: the residual ratio.
    """

    def __init__(self, w1: Tensor, w2: Tensor, ratio: float) -> None:
        self.w1, self.w2, self.ratio = w1, w2, ratio

    @classmethod
    def initial(cls, dim: int, hidden: int, ratio: float, generator: torch.Generator) -> Bottleneck:
        """Weights as PyTorch draws those of a linear layer: uniform within 1 / sqrt(inputs)."""
        bounds = (hidden, dim, 1 / math.sqrt(dim)), (dim, hidden, 1 / math.sqrt(hidden))
        w1, w2 = (torch.empty(o, i).uniform_(-bound, bound, generator=generator) for o, i, bound in bounds)
        return cls(w1, w2, ratio)

    def to(self, device: torch.device) -> Bottleneck:
        """The same on a device."""
        return Bottleneck(self.w1.to(device), self.w2.to(device), self.ratio)

    def forward(self, rows: Tensor) -> Adapted:
        """Blend rows (B, D) with their adaptation and normalise."""
        hidden = torch.relu_(rows @ self.w1.T)
        out = torch.relu_(hidden @ self.w2.T)
        active = out > 0
        blended = out.mul_(self.ratio).add_(rows, alpha=1 - self.ratio)
        norm = blended.norm(dim=1, keepdim=True).clamp_min_(1e-12)  # a zero row stays zero
        return Adapted(hidden, active, norm, blended.div_(norm))

    def backward(self, gradient: Tensor, rows: Tensor, forward: Adapted) -> list[tuple[Tensor, Tensor]]:
        """Factors of the gradients of W1 and W2, from the gradient (B, D) of the unit blended rows."""
        unit = forward.unit
        along = (gradient * unit).sum(1, keepdim=True)
        out = gradient.addcmul(unit, along, value=-1).mul_(self.ratio / forward.norm).mul_(forward.active)
        hidden = (out @ self.w2).mul_(forward.hidden > 0)
        return [(hidden.T, rows), (out.T, forward.hidden)]


def train(
    batches: Sequence[Batch],
    text: Tensor,
    image: Bottleneck,
    text_adapter: Bottleneck | None,
    *,
    rates: Sequence[float],
    logit_scale: float = 100.0,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> Tensor:
    """Train the adapters in place, one step a batch; the gradients are written out by hand.

    Args:
        batches: what every step sees.
        text: unit class text (C, D).
        image: the adapter of image features.
        text_adapter: the adapter of class text, or None.
        rates: learning rate of every step.
        logit_scale: s.
        momentum: of SGD.
        weight_decay: of SGD, coupled.

    Returns:
        The loss before every update (steps,).
    """
    adapters = [image] if text_adapter is None else [image, text_adapter]
    optimizer = SGD([w for a in adapters for w in (a.w1, a.w2)], momentum=momentum, weight_decay=weight_decay)
    losses = text.new_zeros(len(batches))
    classes = text
    for step, (batch, rate) in enumerate(zip(batches, rates, strict=True)):
        seen = image.forward(batch.features)
        if text_adapter is not None:
            said = text_adapter.forward(text)
            classes = said.unit
        losses[step], gradient = cross_entropy(logit_scale * (seen.unit @ classes.T), batch.labels)
        gradient.mul_(logit_scale)
        factors = image.backward(gradient @ classes, batch.features, seen)
        if text_adapter is not None:
            factors += text_adapter.backward(gradient.T @ seen.unit, text, said)
        optimizer.step(factors, rate)
    return losses
