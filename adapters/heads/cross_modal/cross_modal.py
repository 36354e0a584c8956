"""Cross-modal linear probe: class texts are training samples beside the images.

    logits = s * n(x) W^T,    loss = mean cross-entropy over a batch, half images and half prompts of classes

with W (C, D), no bias, which starts at zero-shot (the mean of a class's raw prompt embeddings, normalised) and is not
normalised again; n(x) = x / |x|. W is trained with AdamW. At prediction W may be averaged with where it started:
(1 - alpha) W_0 + alpha W, which the authors run with alpha = 1/2 as "WiSE-FT".
Source: Lin et al., Multimodality Helps Unimodality (arXiv 2301.06267), the linear head of its released code.

The authors choose rates, decay, batch size and the iteration on a few validation shots. `fit` has none: it takes the
larger rate and batch and the larger decay of their grid and keeps the last iteration; `tuned` chooses rate and
iteration.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats
from adapters.blended_head import BlendedHead
from adapters.head import cosine_logits
from adapters.heads.cross_modal.pool import texts_of
from adapters.heads.cross_modal.stack import LayerStack, Plan
from adapters.heads.traced import traced_cosines
from adapters.parameters import AtLeast1, Count, NotNegative, Range, Ratio, Tried, parameters_of, require
from adapters.selection.held_out import held_out_splits
from adapters.selection.looks import right_along
from adapters.support import Rows, Support
from adapters.training.trained_head import TrainedHead

Rate = Annotated[NotNegative, Tried(1e-4, 1e-3)]
"""Tried are the published ones."""
CHECK_EVERY = 100
"""Iterations between two looks at held-out rows; the first is after one iteration."""
FOLDS = 2
"""Folds over the shots when `tuned` has only the support."""


class CrossModal(TrainedHead[Plan], BlendedHead):
    """The cross-modal linear probe, zero-shot initialised.

    Every augmented view is an image of the pool of its own (the authors use the centre crop and its mirror image),
    every prompt of a class a text.

    Args:
        alpha: ratio of the trained W in the average with the zero-shot W; 1 is the trained one, 0 is zero-shot, and
            0.5 is published as WiSE-FT.
        lr: learning rate after the warm-up of 50 iterations.
        weight_decay: weight decay (decoupled).
        batch_size: rows of an iteration, half of them images; at least 2.
        iterations: iterations that the learning rate is planned for.
        stop: iterations to take of these; None: all. What `tuned` chooses.
        logit_scale: s of the training and of the logits (published: 99.99998).
        seed: seed of the shuffles.
        device: auto, cpu, cuda or mps.

    Attributes:
        base_: W_0 (C, D).
        weight_: the trained W (C, D).
        losses_: training loss of every iteration; not saved.
    """

    method: ClassVar[str] = "cross-modal"
    source: ClassVar[str] = "Cross-modal adaptation, arXiv 2301.06267"
    trains: ClassVar[str] = "a linear layer, from text, on images and texts"
    needs: ClassVar[str] = "text per template; views used if there"
    try_when: ClassVar[str] = "several prompts a class; it may be below zero-shot at few shots, and takes long"
    learned: ClassVar[tuple[str, ...]] = ("base_", "weight_")

    base_: Floats
    weight_: Floats

    def __init__(
        self,
        *,
        alpha: Ratio = 1.0,
        lr: Rate = 1e-3,
        weight_decay: NotNegative = 0.01,
        batch_size: Annotated[int, Range(2)] = 32,
        iterations: AtLeast1 = 12800,
        stop: Count | None = None,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.iterations = iterations
        self.stop = stop
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _check_parameters(self) -> None:
        super()._check_parameters()
        expected = f"0 to {self.iterations} (iterations), or None for all"
        require(self.stop is None or self.stop <= self.iterations, "stop", self.stop, expected)

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _plan(self, support: Support) -> Plan:
        return Plan(
            support,
            self.seed,
            self.batch_size,
            self.iterations,
            steps=self.iterations if self.stop is None else self.stop,
            lr=self.lr,
            weight_decay=self.weight_decay,
            logit_scale=self.logit_scale,
            alpha=self.alpha,
        )

    def _stack_key(self, support: Support) -> Hashable:
        shapes = support.views.shape, support.text.shape, texts_of(support)
        return *shapes, self.batch_size, self.iterations, self.stop

    def _state_bytes(self, support: Support) -> int:
        return 4 * 3 * support.text.size

    @staticmethod
    def _stack(plans: Sequence[Plan], device: torch.device) -> LayerStack:
        return LayerStack(plans, device)

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Logits of W_0 and of W - W_0, both (N, C).

        At alpha = 0 itself predictions are those of zero-shot with the class text, which averages unit prompts where
        W_0 averages raw ones: `base`, what they tend to as alpha falls, may differ from them in rows nearly tied.
        """
        base = cosine_logits(features, self.base_, self.logit_scale)
        return base, cosine_logits(features, self.weight_ - self.base_, self.logit_scale)

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(features, self._blended(), self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_cosines(features, self._blended(), self.logit_scale)

    def _blended(self) -> Floats:
        """The layer (C, D) at the ratio of prediction."""
        # With a ratio of 0: zero-shot, to the last bit, with the class text as every other head averages it.
        return self.base_ + np.float32(self.alpha) * (self.weight_ - self.base_) if self.alpha else self.text_

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every rate that is tried, on every fold, and look every `CHECK_EVERY` iterations.

        The first of the best is taken, of the larger rate before the smaller. The authors also try two other decays and
        a batch of 8. `alpha` stays as it is, as theirs does.
        """
        splits, lrs = held_out_splits(support, rows, FOLDS), parameters_of(type(self))["lr"].tried[::-1]
        looks = range(1, self.iterations + 1, CHECK_EVERY)
        heads = [type(self)(**{**self.get_params(), "lr": lr, "stop": None}) for lr in lrs for _ in splits]
        right = right_along(heads, [*splits] * len(lrs), looks).reshape(len(lrs), len(splits), len(looks)).sum(1)
        if right.size:
            rate, check = np.unravel_index(right.argmax(), right.shape)
            head.set_params(lr=lrs[rate], stop=looks[check])
        return head
