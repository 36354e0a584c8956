"""Regularised linear adapter: one matrix on the image feature, held to the identity.

    logits = s * n(A f) n(t_c)^T            n(x) = x / |x|
    loss   = mean_i cross-entropy_i + lambda |A - I|_F^2

A (D, D) starts at the identity and is trained in full-batch steps of Adam. With lambda = 1/K at K shots nothing is left
to validate. Source: Fahes et al., ProLIP (arXiv 2410.05270), which has it as a baseline of its own method, on features
after the projection, so that it needs no encoder.

n makes the length of f cancel, in the gradient too: raw and unit features train the same A; unit ones are used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, Support, unit
from adapters.base import Head, Rows, cosine_logits, require
from adapters.refit import choose_by_refit
from adapters.training import AdamW, cosine, cross_entropy, products, resolve_device, threads_for

PENALTIES = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of lambda that `tuned` tries: the published range in steps of ten."""


def train_matrix(
    matrix: Tensor,
    views: Sequence[Tensor],
    labels: Tensor,
    text: Tensor,
    *,
    rates: Sequence[float],
    penalty: float,
    logit_scale: float = 100.0,
    eps: float = 1e-4,
) -> Tensor:
    """Train A in place, step t on view t + 1 (modulo their number); the gradient is written out by hand.

    Args:
        matrix: A (D, D), updated; the pull is to the identity.
        views: unit features (N, D) of every view.
        labels: class codes (N,).
        text: unit class text (C, D).
        rates: learning rate of every step.
        penalty: lambda.
        logit_scale: s.
        eps: of Adam.

    Returns:
        The loss before every update (steps,).
    """
    optimizer = AdamW(matrix, weight_decay=0, eps=eps)
    losses = text.new_zeros(len(rates))
    for step, rate in enumerate(rates):
        features = views[(step + 1) % len(views)]
        adapted = features @ matrix.T
        norm = adapted.norm(dim=1, keepdim=True).clamp_min_(1e-12)  # a zero row stays zero
        adapted.div_(norm)
        loss, of_logits = cross_entropy((adapted @ text.T).mul_(logit_scale), labels)
        of_unit = of_logits.mul_(logit_scale) @ text
        along = (of_unit * adapted).sum(1, keepdim=True)
        of_adapted = of_unit.addcmul_(adapted, along, value=-1).div_(norm)
        away = matrix.clone()
        away.diagonal().sub_(1)
        losses[step] = loss + penalty * away.square().sum()
        optimizer.step(away.mul_(2 * penalty).addmm_(of_adapted.T, features), rate)
    return losses


class RegularizedLinearAdapter(Head):
    """The regularised linear adapter with ProLIP's training and its penalty that needs no validation.

    Args:
        lr: learning rate, falling along a cosine towards 0 (published: any from 1e-5 to 1e-2, which differ little).
        penalty: lambda; None: 1/K. 0 shows what the penalty is for.
        steps: full-batch steps.
        logit_scale: the encoder's scale s.
        device: auto, cpu, cuda or mps.

    Attributes:
        matrix_: A (D, D).
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "reg-linear"
    source: ClassVar[str] = "baseline of ProLIP, arXiv 2410.05270"
    trains: ClassVar[str] = "a matrix D -> D, held to the identity"
    needs: ClassVar[str] = "text; views used if there"
    learned: ClassVar[tuple[str, ...]] = ("matrix_",)

    matrix_: Floats

    def __init__(
        self,
        *,
        lr: float = 1e-3,
        penalty: float | None = None,
        steps: int = 300,
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        self.lr = lr
        self.penalty = penalty
        self.steps = steps
        self.logit_scale = logit_scale
        self.device = device

    def _check_parameters(self) -> None:
        require(self.penalty is None or self.penalty >= 0, "penalty", self.penalty, "0 or more, or None for 1/K")
        require(self.steps >= 0, "steps", self.steps, "0 or more")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return dim * dim

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        views = torch.from_numpy(np.ascontiguousarray(support.unit_views.transpose(1, 0, 2))).to(device)
        labels, text = (torch.from_numpy(array).to(device) for array in (support.labels, support.text))
        matrix = torch.eye(views.shape[2], device=device)
        with threads_for(products(*views[0].shape, views.shape[2])):
            losses = train_matrix(
                matrix,
                views.unbind(),
                labels,
                text,
                rates=cosine(self.lr, self.steps),
                penalty=1 / support.shots if self.penalty is None else self.penalty,
                logit_scale=self.logit_scale,
            )
        self.losses_, self.matrix_ = losses.cpu().numpy(), matrix.cpu().numpy()

    def for_classes(self, text: Any) -> Self:
        """The same matrix before other classes' text: it does not know which classes it was trained on."""
        return self._with_text(text)

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(unit(features @ self.matrix_.T), self.text_, self.logit_scale)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every lambda of `PENALTIES`. The authors also try learning rates, from 1e-2 to 1e-8."""
        head.set_params(penalty=choose_by_refit(self, support, rows, "penalty", PENALTIES))
        return head
