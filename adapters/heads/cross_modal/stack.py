"""Many linear layers of the cross-modal probe in training; the equations are in `cross_modal`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adapters.arrays import Floats, unit
from adapters.heads.cross_modal.pool import batches_of, pool_of
from adapters.selection.looks import WatchedStack
from adapters.support import Support
from adapters.training.gathered_batches import GatheredBatches
from adapters.training.loop import cosine, products
from adapters.training.stack_parts import StackedAdamW, per_head, rates_of

WARMUP, WARMUP_LR = 50, 1e-5
"""Iterations of the warm-up, and the rate of the first one."""


def warmup_rates(lr: float, steps: int, warmup: int = WARMUP) -> list[float]:
    """Learning rate of every step: 1e-5, then up along a line to lr, then lr/2 (1 + cos(pi t / steps)).

    t counts from the end of the warm-up, yet the cosine is as long as all steps, so that the rate never reaches 0.
    """
    rising = [WARMUP_LR, *(lr * t / warmup for t in range(1, warmup))][:warmup]
    return [*rising, *cosine(lr, steps)][:steps]


class Plan(NamedTuple):
    """A training of a layer: what its batches and rates follow from, and all that is set.

    The batches of thousands of iterations are large and slow to draw. Trainings that share a seed share them, so it is
    the stack that draws.
    """

    support: Support
    seed: int
    batch_size: int
    iterations: int
    """What the learning rate is planned for."""
    steps: int
    """How many of these are taken."""
    lr: float
    weight_decay: float
    logit_scale: float
    alpha: float
    """Ratio of the trained layer in the average that is asked on the way."""


class LayerStack(WatchedStack):
    """G linear layers in training; the gradient is written out by hand.

    Attributes:
        start: W_0 (G, C, D).
        optimizer: of W (G, C, D), which starts at W_0.
    """

    state = ("start", "batches", "optimizer", "gradient", "alpha")

    def __init__(self, plans: Sequence[Plan], device: torch.device) -> None:
        first, supports = plans[0], [plan.support for plan in plans]
        text = supports[0].text
        work = products(first.batch_size, *text.shape)
        super().__init__(len(plans), device=device, steps=first.steps, work=work)
        self.start = torch.stack([torch.from_numpy(unit(each.mean_prompts)) for each in supports]).to(device)
        pools = {id(each): pool_of(each) for each in supports}
        # All that the batches depend on but the seed is common to a stack.
        drawn = {
            seed: batches_of(supports[0], first.batch_size, first.iterations, seed)[: first.steps]
            for seed in {plan.seed for plan in plans}
        }
        self.batches = GatheredBatches(
            [pools[id(each)][0] for each in supports],
            [pools[id(each)][1] for each in supports],
            [drawn[plan.seed] for plan in plans],
            device,
            scale=per_head([plan.logit_scale for plan in plans], device)[:, None, None],
            classes=len(text),
        )
        rates = rates_of([warmup_rates(plan.lr, plan.iterations) for plan in plans], device)
        decay = per_head([plan.weight_decay for plan in plans], device)
        self.optimizer = StackedAdamW(self.start.clone(), rates, weight_decay=decay, eps=1e-8)
        self.gradient = torch.empty_like(self.start)
        self.alpha = per_head([plan.alpha for plan in plans], device)

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

    def learned(self, place: int) -> dict[str, Floats]:
        """Where the layer started, and where it is."""
        return {"base_": self.start[place].cpu().numpy(), "weight_": self.optimizer.weight[place].cpu().numpy()}
