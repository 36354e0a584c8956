"""Regularised linear adapter: one matrix on the image feature, held to the identity.

    logits = s * n(A f) n(t_c)^T            n(x) = x / |x|
    loss   = mean_i cross-entropy_i + lambda |A - I|_F^2

A (D, D) starts at the identity and is trained in full-batch steps of Adam. With lambda = 1/K at K shots nothing is left
to validate. Source: Fahes et al., ProLIP (arXiv 2410.05270), which has it as a baseline of its own method, on features
after the projection, so that it needs no encoder.

n makes the length of f cancel, in the gradient too: raw and unit features train the same A; unit ones are used here.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from adapters.arrays import Floats, unit
from adapters.head import cosine_logits
from adapters.heads.traced import traced_cosines, traced_products
from adapters.parameters import AtLeast1, NotNegative, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.balance import Balanced
from adapters.training.loop import class_logits, cosine, products
from adapters.training.stack import Stack
from adapters.training.stack_parts import Batches, StackedAdamW, per_head, rates_of
from adapters.training.trained_head import TrainedHead

Penalty = Annotated[NotNegative, Tried(0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0)]
"""Tried is the published range in steps of ten."""


class Plan(NamedTuple):
    """A training of a matrix: all that is scheduled or set."""

    support: Support
    rates: list[float]
    """Learning rate of every step."""
    penalty: float
    logit_scale: float
    start: Floats
    """The matrix (D, P) that the training begins with and is held to."""
    fixed: int = 0
    """How many of its last columns are not trained."""


class MatrixStack(Stack):
    """G matrices (D, P) in training, which all begin with the same; the gradient is written out by hand.

    Attributes:
        text: unit class text (G, C, D).
        batches: the support in one view: step t sees view t + 1, modulo their number.
        optimizer: of the matrices A (G, D, P).
    """

    state = ("text", "batches", "optimizer", "gradient", "penalty", "logit_scale")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        supports, steps = [plan.support for plan in plans], len(plans[0].rates)
        rows, self.views, width = supports[0].views.shape
        super().__init__(len(plans), device=device, steps=steps, work=products(rows, *plans[0].start.shape))
        self.text = torch.stack([torch.from_numpy(each.text) for each in supports]).to(device)
        seen = torch.arange(rows) * self.views + ((torch.arange(steps) + 1) % self.views)[:, None]
        self.batches = Batches.of(supports, [seen] * len(plans), device)
        self.start, self.trained = torch.from_numpy(plans[0].start).to(device), width - plans[0].fixed
        matrix = self.start.repeat(len(plans), 1, 1)
        nothing = torch.zeros(len(plans), device=device)
        rates = rates_of([plan.rates for plan in plans], device)
        self.optimizer = StackedAdamW(matrix, rates, weight_decay=nothing, eps=1e-4)
        self.gradient = torch.empty_like(matrix)
        self.penalty, self.logit_scale = (
            per_head([getattr(plan, name) for plan in plans], device)[:, None, None]
            for name in ("penalty", "logit_scale")
        )

    def load(self, index: int) -> None:
        """Take the view and the rates of a step."""
        if index == 0 or self.views > 1:
            self.batches.load(index)
        self.optimizer.load(index)

    def step(self) -> None:
        """Adam on cross-entropy and the penalty."""
        features, matrix = self.batches.features, self.optimizer.weight
        adapted = torch.bmm(features, matrix.mT)
        norm = adapted.norm(dim=2, keepdim=True).clamp_min_(1e-12)  # a zero row stays zero
        adapted.div_(norm)
        logits = class_logits(adapted, self.text).mul_(self.logit_scale)
        loss, of_logits = self.balance.cross_entropy(logits, self.batches.labels)
        of_unit = of_logits.mul_(self.logit_scale) @ self.text
        along = (of_unit * adapted).sum(2, keepdim=True)
        of_adapted = of_unit.addcmul_(adapted, along, value=-1).div_(norm)
        away = torch.sub(matrix, self.start, out=self.gradient)
        size = torch.linalg.vector_norm(away, dim=(1, 2))
        self.loss.copy_(loss.addcmul_(self.penalty[:, 0, 0], size.square_()))
        gradient = away.mul_(2 * self.penalty).baddbmm_(of_adapted.mT, features)
        gradient[:, :, self.trained :] = 0
        self.optimizer.step(gradient)

    def learned(self, place: int) -> dict[str, Floats]:
        """The matrix."""
        return {"matrix_": self.optimizer.weight[place].cpu().numpy()}


class RegularizedLinearAdapter(TrainedHead[Plan]):
    """The regularised linear adapter with ProLIP's training and its penalty that needs no validation.

    Args:
        lr: learning rate, falling along a cosine towards 0 (published: any from 1e-5 to 1e-2, which differ little).
        penalty: lambda; None: 1/K. 0 shows what the penalty is for.
        steps: full-batch steps.
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
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
    try_when: ClassVar[str] = "a good zero-shot and few shots"
    learned: ClassVar[tuple[str, ...]] = ("matrix_",)

    matrix_: Floats

    def __init__(
        self,
        *,
        lr: NotNegative = 1e-3,
        penalty: Penalty | None = None,
        steps: AtLeast1 = 300,
        balance: Balanced = "logit",
        logit_scale: float = 100.0,
        device: str = "auto",
    ) -> None:
        self.lr = lr
        self.penalty = penalty
        self.steps = steps
        self.balance = balance
        self.logit_scale = logit_scale
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return dim * dim

    def _plan(self, support: Support) -> Plan:
        penalty = 1 / support.shots if self.penalty is None else self.penalty
        start = np.eye(support.text.shape[1], dtype=np.float32)
        return Plan(support, cosine(self.lr, self.steps), penalty, self.logit_scale, start)

    def _stack_key(self, support: Support) -> Hashable:
        return support.views.shape, support.text.shape, self.steps

    def _state_bytes(self, support: Support) -> int:
        dim: int = support.text.shape[1]
        return 4 * 4 * dim * dim

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> MatrixStack:
        return MatrixStack(plans, device)

    def for_classes(self, text: Any) -> Self:
        """The same matrix before other classes' text: it does not know which classes it was trained on."""
        return self._with_text(text)

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(unit(features @ self.matrix_.T), self.text_, self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        adapted = normalize(traced_products(features, self.matrix_), dim=1)
        return traced_cosines(adapted, self.text_, self.logit_scale)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every lambda that is tried. The authors also try learning rates, from 1e-2 to 1e-8."""
        choose_by_refit(head, support, rows, "penalty")
        return head
