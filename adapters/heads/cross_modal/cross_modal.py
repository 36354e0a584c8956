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
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, Support, unit
from adapters.head import Rows, cosine_logits, require
from adapters.heads.cross_modal.pool import draw_rows, pool_of, texts_of
from adapters.selection.held_out import held_out_splits
from adapters.selection.looks import WatchedStack, right_along
from adapters.training.gathered_batches import GatheredBatches
from adapters.training.loop import cosine, products
from adapters.training.stacked import StackedAdamW, per_head, rates_of
from adapters.training.stacking import TrainedHead

LRS = (1e-3, 1e-4)
"""Learning rates that `tuned` tries: the published ones."""
CHECK_EVERY = 100
"""Iterations between two looks at held-out rows; the first is after one iteration."""
FOLDS = 2
"""Folds over the shots when `tuned` has only the support."""
WARMUP, WARMUP_LR = 50, 1e-5
"""Iterations of the warm-up, and the rate of the first one."""


def warmup_rates(lr: float, steps: int, warmup: int = WARMUP) -> list[float]:
    """Learning rate of every step: 1e-5, then up along a line to lr, then lr/2 (1 + cos(pi t / steps)).

    t counts from the end of the warm-up, yet the cosine is as long as all steps, so that the rate never reaches 0.
    """
    rising = [WARMUP_LR, *(lr * t / warmup for t in range(1, warmup))][:warmup]
    return [*rising, *cosine(lr, steps)][:steps]


class LayerStack(WatchedStack["CrossModal"]):
    """G linear layers in training; the gradient is written out by hand.

    Attributes:
        start: W_0 (G, C, D).
        optimizer: of W (G, C, D), which starts at W_0.
    """

    state = ("start", "batches", "optimizer", "gradient", "alpha")

    def __init__(self, heads: Sequence[CrossModal], supports: Sequence[Support]) -> None:
        first, classes = heads[0], supports[0].text
        steps = first.iterations if first.stop is None else first.stop
        super().__init__(heads, steps=steps, work=products(first.batch_size, *classes.shape))
        self.start = torch.stack([torch.from_numpy(unit(each.mean_prompts)) for each in supports]).to(self.device)
        pools = {id(each): pool_of(each) for each in supports}
        of_seed = {head.seed: head for head in heads}
        drawn = {seed: head._rows(supports[0]) for seed, head in of_seed.items()}  # all else is common to a stack
        self.batches = GatheredBatches(
            [pools[id(each)][0] for each in supports],
            [pools[id(each)][1] for each in supports],
            [drawn[head.seed] for head in heads],
            self.device,
            scale=per_head([head.logit_scale for head in heads], self.device)[:, None, None],
            classes=len(classes),
        )
        rates = rates_of([warmup_rates(head.lr, head.iterations) for head in heads], self.device)
        decay = per_head([head.weight_decay for head in heads], self.device)
        self.optimizer = StackedAdamW(self.start.clone(), rates, weight_decay=decay, eps=1e-8)
        self.gradient = torch.empty_like(self.start)
        self.alpha = per_head([head.alpha for head in heads], self.device)

    def load(self, index: int) -> None:
        """Take the batch and the rates of a step."""
        self.batches.load(index)
        self.optimizer.load(index)

    def step(self) -> None:
        """AdamW on cross-entropy."""
        features, truth = self.batches.features, self.batches.truth
        groups, batch, _ = features.shape
        log_probability = torch.log_softmax(torch.bmm(self.optimizer.weight, features.mT), 1)  # (G, C, B)
        loss, row, column = self.loss.view(groups, 1, 1), log_probability.view(groups, 1, -1), truth.view(groups, -1, 1)
        torch.baddbmm(loss, row, column, beta=0, alpha=-1 / batch, out=loss)
        of_logits = log_probability.exp_().sub_(truth)
        torch.baddbmm(self.gradient, of_logits, features, beta=0, alpha=1 / batch, out=self.gradient)
        self.optimizer.step(self.gradient)

    def logits(self, place: int, features: Tensor) -> Tensor:
        """With W averaged with W_0."""
        return features @ torch.lerp(self.start[place], self.optimizer.weight[place], self.alpha[place]).T

    def write(self, head: CrossModal, place: int) -> None:
        """Where the layer started, and where it is."""
        head.base_, head.weight_ = (each[place].cpu().numpy() for each in (self.start, self.optimizer.weight))


class CrossModal(TrainedHead):
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
    learned: ClassVar[tuple[str, ...]] = ("base_", "weight_")
    alpha_after_fit: ClassVar[bool] = True

    base_: Floats
    weight_: Floats

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        batch_size: int = 32,
        iterations: int = 12800,
        stop: int | None = None,
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
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "a ratio from 0 to 1")
        require(self.lr >= 0, "lr", self.lr, "0 or more")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2, half of them images")
        require(self.iterations >= 0, "iterations", self.iterations, "0 or more")
        expected = f"0 to {self.iterations} (iterations), or None for all"
        require(self.stop is None or 0 <= self.stop <= self.iterations, "stop", self.stop, expected)

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _rows(self, support: Support) -> Tensor:
        """Numbers (steps, B) of the rows of every step in the pool of `pool_of`."""
        generator = torch.Generator().manual_seed(self.seed)
        images, texts, half = support.views.shape[0] * support.views.shape[1], texts_of(support), self.batch_size // 2
        of_images = draw_rows(images, half, self.iterations, generator)
        of_texts = draw_rows(texts, half, self.iterations, generator) + images
        return torch.cat([of_images, of_texts], 1)[: self.stop]

    def _stack_key(self, support: Support) -> Hashable:
        shapes = support.views.shape, support.text.shape, texts_of(support)
        return *shapes, self.batch_size, self.iterations, self.stop

    def _state_bytes(self, support: Support) -> int:
        return 4 * 3 * support.text.size

    @classmethod
    def _stack(cls, heads: Sequence[Self], supports: Sequence[Support]) -> LayerStack:
        return LayerStack(heads, supports)

    def parts(self, X: Any) -> tuple[Floats, Floats]:
        """Logits of W_0 and of W - W_0, both (N, C), of features (N, D): logits = base + alpha * delta.

        At alpha = 0 itself predictions are those of zero-shot with the class text, which averages unit prompts where
        W_0 averages raw ones: `base`, what they tend to as alpha falls, may differ from them in rows nearly tied.
        """
        features = unit(self._features(X))
        base = cosine_logits(features, self.base_, self.logit_scale)
        return base, cosine_logits(features, self.weight_ - self.base_, self.logit_scale)

    def _logits(self, features: Floats) -> Floats:
        # With a ratio of 0: zero-shot, to the last bit, with the class text as every other head averages it.
        weight = self.base_ + np.float32(self.alpha) * (self.weight_ - self.base_) if self.alpha else self.text_
        return cosine_logits(features, weight, self.logit_scale)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every rate of `LRS`, on every fold, and look every `CHECK_EVERY` iterations.

        The first of the best is taken, of the larger rate before the smaller. The authors also try two other decays and
        a batch of 8. `alpha` stays as it is, as theirs does.
        """
        splits = held_out_splits(support, rows, FOLDS)
        looks = range(1, self.iterations + 1, CHECK_EVERY)
        heads = [type(self)(**{**self.get_params(), "lr": lr, "stop": None}) for lr in LRS for _ in splits]
        right = right_along(heads, [*splits] * len(LRS), looks).reshape(len(LRS), len(splits), len(looks)).sum(1)
        if right.size:
            rate, check = np.unravel_index(right.argmax(), right.shape)
            head.set_params(lr=LRS[rate], stop=looks[check])
        return head
