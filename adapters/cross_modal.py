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

from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from adapters.arrays import Floats, Support, unit
from adapters.base import Head, Rows, cosine_logits, require
from adapters.held_out import held_out_splits
from adapters.training import AdamW, cosine, products, resolve_device, threads_for

LRS = (1e-3, 1e-4)
"""Learning rates that `tuned` tries: the published ones."""
CHECK_EVERY = 100
"""Iterations between two looks at held-out rows; the first is after one iteration."""
FOLDS = 2
"""Folds over the shots when `tuned` has only the support."""
WARMUP, WARMUP_LR = 50, 1e-5
"""Iterations of the warm-up, and the rate of the first one."""
GATHERED = 64
"""Steps whose rows are gathered and whose losses are summed at once: a step on 32 rows is mostly the cost of calls."""


def warmup_rates(lr: float, steps: int, warmup: int = WARMUP) -> list[float]:
    """Learning rate of every step: 1e-5, then up along a line to lr, then lr/2 (1 + cos(pi t / steps)).

    t counts from the end of the warm-up, yet the cosine is as long as all steps, so that the rate never reaches 0.
    """
    rising = [WARMUP_LR, *(lr * t / warmup for t in range(1, warmup))][:warmup]
    return [*rising, *cosine(lr, steps)][:steps]


def draw_rows(rows: int, size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Row numbers (steps, size) of shuffled batches, pass after pass; an incomplete last batch of a pass is left out.

    A set smaller than a batch is one batch.
    """
    size = min(size, rows)
    whole = rows // size
    passes = -(-steps // whole)
    shuffles = [torch.randperm(rows, generator=generator)[: whole * size].view(whole, size) for _ in range(passes)]
    return torch.cat([torch.empty(0, size, dtype=torch.int64), *shuffles])[:steps]


class Plan(NamedTuple):
    """The pool of unit rows (P, D), images then prompts; their class codes (P,); the rows (steps, B) of every step."""

    pool: Tensor
    labels: Tensor
    rows: Tensor


def train_layer(
    weight: Tensor, optimizer: AdamW, plan: Plan, rates: list[float], steps: range, logit_scale: float
) -> Tensor:
    """Train W (C, D) in place on some steps of a plan; the gradient is written out by hand.

    Args:
        weight: W.
        optimizer: of W, which goes on from where it is.
        plan: the rows of all steps.
        rates: learning rate of all steps.
        steps: which of them to take.
        logit_scale: s.

    Returns:
        The loss before every update.
    """
    losses = weight.new_zeros(len(steps))
    for begin in range(0, len(steps), GATHERED):
        some = steps[begin : begin + GATHERED]
        rows = plan.rows[some.start : some.stop]
        features = plan.pool[rows].mul_(logit_scale)
        truth = one_hot(plan.labels[rows], len(weight)).to(features.dtype)
        log_probability = torch.empty_like(truth)
        for step, seen, true, log_p in zip(some, features, truth, log_probability, strict=True):
            torch.log_softmax((weight @ seen.T).T, 1, out=log_p)
            of_logits = log_p.exp().sub_(true).div_(len(true))
            optimizer.step(of_logits.T @ seen, rates[step])
        losses[begin : begin + len(some)] = -(log_probability * truth).sum(2).mean(1)
    return losses


class CrossModal(Head):
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
        require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2, half of them images")
        require(self.iterations >= 0, "iterations", self.iterations, "0 or more")
        expected = f"0 to {self.iterations} (iterations), or None for all"
        require(self.stop is None or 0 <= self.stop <= self.iterations, "stop", self.stop, expected)

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return classes * dim

    def _start(self, support: Support) -> tuple[Tensor, AdamW, Plan]:
        """W before training, its optimizer, and the plan of all iterations."""
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(self.seed)
        images, views, dim = support.views.shape
        prompts = (support.text if support.prompts is None else support.prompts).reshape(len(support.text), -1, dim)
        there = ~np.isnan(prompts).any(2)
        pool = np.concatenate([support.unit_views.reshape(-1, dim), unit(prompts[there])])
        labels = np.concatenate([np.repeat(support.labels, views), np.nonzero(there)[0]])
        half = self.batch_size // 2
        of_images = draw_rows(images * views, half, self.iterations, generator)
        of_texts = draw_rows(len(pool) - images * views, half, self.iterations, generator) + images * views
        plan = Plan(torch.from_numpy(pool), torch.from_numpy(labels), torch.cat([of_images, of_texts], 1))
        weight = torch.from_numpy(unit(support.mean_prompts)).to(device, copy=True)
        optimizer = AdamW(weight, weight_decay=self.weight_decay, eps=1e-8)
        return weight, optimizer, Plan(*(part.to(device) for part in plan))

    def _fit(self, support: Support) -> None:
        steps = range(self.iterations if self.stop is None else self.stop)
        rates = warmup_rates(self.lr, self.iterations)
        with threads_for(products(self.batch_size, *support.text.shape)), torch.inference_mode():
            weight, optimizer, plan = self._start(support)
            losses = train_layer(weight, optimizer, plan, rates, steps, self.logit_scale)
        self.losses_, self.weight_ = losses.cpu().numpy(), weight.cpu().numpy()
        self.base_ = unit(support.mean_prompts)

    def _logits(self, features: Floats) -> Floats:
        # With a ratio of 0: zero-shot, to the last bit, with the class text as every other head averages it.
        weight = self.base_ + np.float32(self.alpha) * (self.weight_ - self.base_) if self.alpha else self.text_
        return cosine_logits(features, weight, self.logit_scale)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every rate of `LRS`, on every fold, and look every `CHECK_EVERY` iterations.

        The first of the best is taken, of the larger rate before the smaller. The authors also try two other decays and
        a batch of 8.
        """
        splits = held_out_splits(support, rows, FOLDS)
        right = np.array([sum(self._right(lr, *split) for split in splits) for lr in LRS])
        if right.size:
            rate, check = np.unravel_index(right.argmax(), right.shape)
            head.set_params(lr=LRS[rate], stop=int(check) * CHECK_EVERY + 1)
        return head

    def _right(self, lr: float, support: Support, rows: Rows) -> Floats:
        """Right answers on some rows at every look."""
        rates = warmup_rates(lr, self.iterations)
        right = []
        begin = 0
        with threads_for(products(self.batch_size, *support.text.shape)), torch.inference_mode():
            weight, optimizer, plan = self._start(support)
            features, labels = (torch.from_numpy(array).to(weight.device) for array in rows)
            start = weight.clone()
            for end in range(1, self.iterations + 1, CHECK_EVERY):
                train_layer(weight, optimizer, plan, rates, range(begin, end), self.logit_scale)
                begin = end
                blended = torch.lerp(start, weight, self.alpha)
                right.append(int(((features @ blended.T).argmax(1) == labels).sum()))
        return np.array(right, dtype=np.float32)
