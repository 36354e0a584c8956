"""Weights of a first layer, held in the span of the few rows that it is trained on.

Every gradient of a first layer W (H, D) is a combination of rows x_p of its training pool X (P, D). So under gradient
descent with momentum and coupled decay, which are linear, weights and momentum stay of the form

    W_t = kept_t W_0 + A_t^T X,    buffer_t = held_t W_0 + M_t^T X        A, M (P, H)

where the numbers kept_t and held_t follow from rates and decay alone. The outputs of a batch of rows b are

    X_b W_t^T = kept_t (X W_0^T)_b + (X X^T)_b A_t

a product with P columns in place of D, and the gradient needs no product at all: the gradient of the outputs is added
to the batch's rows of M. With fewer rows than columns that is less than half the arithmetic of the layer, and less
state. It is the mathematics of `StackedSGD`, rounded elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adapters.training.stack_parts import Batches, Stacked


class SpannedSGD(Stacked):
    """`StackedSGD` of a first layer, in the span of the pool of its batches.

    Args:
        weight: W_0 (G, H, D).
        batches: the pools, and which rows each step sees.
        rates: learning rates of each training (G, steps).
        momentum: of all.
        weight_decay: of each (G,).

    Attributes:
        coefficients: A (G, P, H).
        buffer: M (G, P, H).
        outputs: X W_0^T (G, P, H).
        gram: X X^T (S, P, P) of every pool.
    """

    state = (
        *("start", "outputs", "coefficients", "buffer"),
        *("shares", "share", "rates", "rate", "weight_decay", "products", "places", "shift"),
    )

    def __init__(
        self, weight: Tensor, batches: Batches, rates: Tensor, *, momentum: float, weight_decay: Tensor
    ) -> None:
        self.start, self.batches, self.momentum = weight, batches, momentum
        groups, rows = batches.chosen.shape
        size = batches.pool.shape[1]
        self.gram = batches.pool @ batches.pool.mT
        self.outputs = torch.bmm(batches.pool[batches.pool_of], weight.mT)
        self.coefficients, self.buffer = torch.zeros_like(self.outputs), torch.zeros_like(self.outputs)
        self.shares = kept(rates, momentum, weight_decay)[:, :, None, None]
        self.rates, self.weight_decay = rates[:, :, None, None], weight_decay[:, None, None]
        self.share, self.rate = torch.ones_like(self.weight_decay), torch.zeros_like(self.weight_decay)
        self.taken = 0
        self.products = self.gram.new_empty(groups, rows, size)
        self.places = torch.zeros_like(batches.chosen)
        # From a row's number in all pools to its number in all trainings' pools.
        self.shift = (size * (_numbers(batches.pool_of) - batches.pool_of)).to(self.places.dtype)[:, None]

    @staticmethod
    def pays(batches: Batches) -> bool:
        """Whether the pools have so few rows that this is less arithmetic than `StackedSGD`."""
        return batches.pool.shape[1] <= batches.pool.shape[2]

    def load(self, index: int) -> None:
        """Take the rates of a step, and the Gram matrix's rows of the batch that `batches` holds."""
        size = self.gram.shape[1]
        self.rate.copy_(self.rates[:, index])
        self.share.copy_(self.shares[:, index])
        torch.index_select(self.gram.view(-1, size), 0, self.batches.chosen.view(-1), out=self.products.view(-1, size))
        torch.add(self.batches.chosen, self.shift, out=self.places)
        self.taken = index + 1

    def keep(self, places: Tensor) -> None:
        """As of any part; a training's place is part of its row numbers."""
        super().keep(places)
        self.shift += (self.gram.shape[1] * (_numbers(places) - places)).to(self.shift.dtype)[:, None]

    def forward(self, rows: Tensor, out: Tensor) -> None:
        """Write the outputs (G, B, H) of the rows (G, B, D) that were loaded; what they are is known already."""
        width = out.shape[2]
        torch.index_select(self.outputs.view(-1, width), 0, self.places.view(-1), out=out.view(-1, width))
        out.mul_(self.share).baddbmm_(self.products, self.coefficients)

    def learn(self, gradient: Tensor) -> None:
        """One update, from the gradient (G, B, H) of the batch's outputs."""
        width = gradient.shape[2]
        self.buffer.mul_(self.momentum).addcmul_(self.coefficients, self.weight_decay)
        self.buffer.view(-1, width).index_add_(0, self.places.view(-1), gradient.view(-1, width))
        self.coefficients.addcmul_(self.buffer, self.rate, value=-1)

    def weight_of(self, place: int) -> Tensor:
        """W (H, D) of one training after the steps taken."""
        rows = self.batches.pool[self.batches.pool_of[place]]
        return torch.addmm(self.start[place] * self.shares[place, self.taken], self.coefficients[place].T, rows)


def kept(rates: Tensor, momentum: float, weight_decay: Tensor) -> Tensor:
    """What is left of W_0 (G, steps + 1) before every step and after the last: the update without gradients."""
    return torch.tensor(
        [_kept(*each, momentum) for each in zip(rates.tolist(), weight_decay.tolist(), strict=True)],
        device=rates.device,
    )


def _numbers(like: Tensor) -> Tensor:
    return torch.arange(len(like), device=like.device)


def _kept(rates: list[float], decay: float, momentum: float) -> list[float]:
    weight, buffer, left = 1.0, 0.0, [1.0]
    for rate in rates:
        buffer = momentum * buffer + decay * weight
        weight -= rate * buffer
        left.append(weight)
    return left
