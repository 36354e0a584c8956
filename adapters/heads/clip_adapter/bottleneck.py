"""The bottleneck of CLIP-Adapter: its forward pass, and G of them in training with the gradients written out.

    A(x) = ReLU(W2 ReLU(W1 x)),    u = n(ratio A(x) + (1 - ratio) x),    n(x) = x / |x|

Rows x (B, D), W1 (H, D), W2 (D, H), no biases. The same block serves image features and class text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from adapters.arrays import Floats
from adapters.training.spanned import SpannedSGD
from adapters.training.stack_parts import Batches, Stacked, StackedSGD

SMALLEST = 1e-12
"""Least norm that rows are divided by: a zero row stays zero."""


def initial(dim: int, hidden: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """W1 and W2 as PyTorch draws the weights of a linear layer: uniform within 1 / sqrt(inputs)."""
    first, second = torch.empty(hidden, dim), torch.empty(dim, hidden)
    for weight in (first, second):
        bound = 1 / math.sqrt(weight.shape[1])
        weight.uniform_(-bound, bound, generator=generator)
    return first, second


def adapt(rows: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """A(x) of rows (B, D)."""
    return torch.relu_(torch.relu_(rows @ w1.T) @ w2.T)


def blend(rows: Tensor, w1: Tensor, w2: Tensor, ratio: float) -> Tensor:
    """U (B, D) of rows (B, D)."""
    blended = adapt(rows, w1, w2).mul_(ratio).add_(rows, alpha=1 - ratio)
    return blended.div_(blended.norm(dim=1, keepdim=True).clamp_min_(SMALLEST))


class DenseSGD(StackedSGD):
    """`StackedSGD` of a first layer, on whatever rows it is shown; see `StackedSGD` for arguments."""

    rows: Tensor

    def forward(self, rows: Tensor, out: Tensor) -> None:
        """Write the outputs (G, B, H) of rows (G, B, D)."""
        self.rows = rows
        torch.bmm(rows, self.weight.mT, out=out)

    def learn(self, gradient: Tensor) -> None:
        """One update, from the gradient (G, B, H) of those outputs."""
        self.step(gradient.mT, self.rows)

    def weight_of(self, place: int) -> Tensor:
        """W (H, D) of one training."""
        return self.weight[place]


class StackedBottleneck(Stacked):
    """G bottlenecks in training. `forward`, then `backward`: it needs what the former leaves.

    Args:
        first: the first layers W1.
        second: the second layers W2 (G, D, H).
        ratio: residual ratios (G,).
        rows: number of rows B of a step.

    Attributes:
        blended: ratio A(x) + (1 - ratio) x (G, B, D), not normalised.
        norm: its norm (G, B, 1).
    """

    state = ("first", "second", "ratio", "hidden", "adapted", "blended", "norm", "back")

    def __init__(self, first: DenseSGD | SpannedSGD, second: StackedSGD, ratio: Tensor, rows: int) -> None:
        self.first, self.second, self.ratio = first, second, ratio[:, None, None]
        groups, dim, width = second.weight.shape
        self.hidden, self.back = (ratio.new_empty(groups, rows, width) for _ in range(2))
        self.adapted, self.blended = (ratio.new_empty(groups, rows, dim) for _ in range(2))
        self.norm = ratio.new_empty(groups, rows, 1)

    @classmethod
    def of(
        cls, weights: Sequence[tuple[Tensor, Tensor]], ratio: Tensor, rows: int, batches: Batches | None, **sgd: Any
    ) -> Self:
        """At the start of a training.

        Args:
            weights: W1 and W2 of each.
            ratio: residual ratios (G,).
            rows: number of rows B of a step.
            batches: where the rows come from; None: they are the same in every step.
            **sgd: rates, momentum and weight_decay of `StackedSGD`.
        """
        w1, w2 = (torch.stack(layer).to(ratio.device) for layer in zip(*weights, strict=True))
        first = SpannedSGD(w1, batches, **sgd) if batches and SpannedSGD.pays(batches) else DenseSGD(w1, **sgd)
        return cls(first, StackedSGD(w2, **sgd), ratio, rows)

    def load(self, index: int) -> None:
        """Take the rates of a step."""
        self.first.load(index)
        self.second.load(index)

    def forward(self, rows: Tensor) -> None:
        """Blend rows (G, B, D) with their adaptation."""
        self.first.forward(rows, self.hidden)
        torch.bmm(self.hidden.relu_(), self.second.weight.mT, out=self.adapted)
        torch.lerp(rows, self.adapted.relu_(), self.ratio, out=self.blended)
        torch.linalg.vector_norm(self.blended, dim=2, keepdim=True, out=self.norm).clamp_min_(SMALLEST)

    def backward(self, left: Tensor, right: Tensor, along: Tensor) -> None:
        """Update both layers; overwrites `blended`.

        The gradient g of the unit rows u is a product of few columns, so that of its part across u, which is all that
        the norm lets through, only the product is ever made:

            d/d(blended) = (g - (g . u) u) / norm

        Args:
            left: first factor of g (G, B, C).
            right: second factor (G, C, D).
            along: g . u (G, B, 1).
        """
        shrink = self.ratio / self.norm
        gradient = self.blended.mul_((along * shrink).div_(self.norm).neg_()).baddbmm_(left * shrink, right)
        let_through(gradient, self.adapted)
        torch.bmm(gradient, self.second.weight, out=self.back)
        let_through(self.back, self.hidden)
        self.second.step(gradient.mT, self.hidden)
        self.first.learn(self.back)

    def weights(self, place: int) -> tuple[Floats, Floats]:
        """W1 and W2 of one training."""
        return self.first.weight_of(place).cpu().numpy(), self.second.weight[place].cpu().numpy()


def let_through(gradient: Tensor, output: Tensor) -> None:
    """Zero a gradient in place where the output of a ReLU is 0."""
    # A product with `output > 0` gives the same in ten times the time on a CPU: it converts the truth values.
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
