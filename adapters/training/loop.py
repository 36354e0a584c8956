"""The small training loop that trained heads share: schedules, batches, updates.

Updates are written out, in place and with few calls: a step on 32 rows takes a fraction of a millisecond, and
`torch.optim` would add its bookkeeping to every step and about a second of imports (its compiler front end) to a run
that should take less than that. Each update is the mathematics of the optimizer named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

FEW_CLASSES = 64
"""Up to so many classes, logits lie class by class (`class_logits`)."""
WARMUP_LR = 1e-5
"""Learning rate of the one warm-up epoch."""


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """As many torch CPU threads as `work` is worth inside the block; as many as before after it.

    Less than some four million numbers a call are too short to share: waking a second thread costs more than it saves,
    and ten times as much where the second core is busy.

    Args:
        work: numbers that a call inside the block reads or writes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if work < 1 << 22 else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def products(*sizes: int) -> int:
    """The work of a matrix product for `threads_for`: a core multiplies about 16 pairs while it reads one number."""
    return math.prod(sizes) // 16


def default_epochs(shots: int) -> int:
    """CoOp's number of epochs: 50 for 1 shot, 100 for 2 to 4, 200 for more."""
    return 50 if shots <= 1 else 100 if shots <= 4 else 200


def epochs_for_steps(rows: int, batch_size: int, *, steps: int = 200) -> int:
    """As few epochs over `rows` as make so many steps, and no more than as many epochs."""
    return min(steps, math.ceil(steps / math.ceil(rows / batch_size)))


def warmup_cosine(lr: float, epochs: int, steps_per_epoch: int) -> list[float]:
    """Learning rate of every step: one epoch at 1e-5, then epoch e at lr/2 (1 + cos(pi (e - 1) / epochs)).

    The cosine counts from the end of the warm-up but is as long as all epochs, so the last epochs never reach 0: this
    is the schedule of the framework that CoOp and CLIP-Adapter train in.
    """
    falling = (0.5 * lr * (1 + math.cos(math.pi * (epoch - 1) / epochs)) for epoch in range(1, epochs))
    return [rate for rate in [WARMUP_LR, *falling][:epochs] for _ in range(steps_per_epoch)]


def cosine(lr: float, steps: int) -> list[float]:
    """Learning rate of every step: lr/2 (1 + cos(pi t / steps)), towards 0."""
    return [0.5 * lr * (1 + math.cos(math.pi * t / steps)) for t in range(steps)]


def epoch_batches(
    rows: int, batch_size: int, epochs: int, generator: torch.Generator, *, drop_last: bool
) -> list[list[Tensor]]:
    """Shuffled batches of row numbers, per epoch.

    Args:
        rows: N.
        batch_size: rows of a batch; a set smaller than that is one batch.
        epochs: number of passes.
        generator: source of the shuffles.
        drop_last: leave out an incomplete last batch (never the only one).
    """
    batch_size = min(batch_size, rows)
    end = rows - rows % batch_size if drop_last else rows
    shuffles = [torch.randperm(rows, generator=generator)[:end] for _ in range(epochs)]
    return [list(torch.split(shuffle, batch_size)) for shuffle in shuffles]


def views_in_turn(plan: list[list[Tensor]], views: int) -> list[list[Tensor]]:
    """Batches of images as rows of a pool of all their views: epoch e sees view e modulo their number.

    Args:
        plan: row numbers, as `epoch_batches` gives them.
        views: V; view v of image i is row i V + v.
    """
    return [[chosen * views + epoch % views for chosen in batches] for epoch, batches in enumerate(plan)]


def class_logits(features: Tensor, classes: Tensor) -> Tensor:
    """Logits (..., B, C) of features (..., B, D) before class vectors (..., C, D), laid out for `cross_entropy`.

    A soft-max over ten numbers that lie side by side takes a CPU ten times as long as one across rows: with few
    classes, the logits lie class by class.
    """
    return (classes @ features.mT).mT if classes.shape[-2] <= FEW_CLASSES else features @ classes.mT


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of logits (..., B, C) over their B rows, and its gradient with respect to them.

    Args:
        logits: (..., B, C).
        labels: class codes (..., B).
        weights: of the rows in the mean (..., B), 0 for a row that only fills up; None: 1 / B each.

    Returns:
        Losses (...) and gradients (..., B, C): leading dimensions are trainings that know nothing of each other.
    """
    by_row = logits.stride(-1) == 1
    dim = -1 if by_row else -2  # of the classes, in the order in which the numbers lie
    log_probability = torch.log_softmax(logits if by_row else logits.mT, dim)
    index = labels.unsqueeze(dim)
    own = log_probability.gather(dim, index).squeeze(dim)
    loss = -(own.mean(-1) if weights is None else own.mul_(weights).sum(-1))
    gradient = log_probability.exp_()
    gradient.scatter_add_(dim, index, gradient.new_full((1,) * index.ndim, -1.0).expand_as(index))
    gradient = gradient.div_(labels.shape[-1]) if weights is None else gradient.mul_(weights.unsqueeze(dim))
    return loss, gradient if by_row else gradient.mT


class AdamW:
    """Adam with decoupled weight decay, for one parameter.

    w <- (1 - lr * weight_decay) w - lr * m^ / (sqrt(v^) + eps), with bias-corrected moments m^ and v^.

    Args:
        weight: the parameter, updated in place.
        weight_decay: weight decay.
        eps: added to the root of the second moment.
        betas: decay of the first and the second moment.
    """

    def __init__(
        self, weight: Tensor, *, weight_decay: float, eps: float, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        self.weight, self.weight_decay, self.eps, self.betas = weight, weight_decay, eps, betas
        self.first, self.second = torch.zeros_like(weight), torch.zeros_like(weight)
        self.steps = 0

    def step(self, gradient: Tensor, lr: float) -> None:
        """One update."""
        self.steps += 1
        first, second = self.betas
        self.first.lerp_(gradient, 1 - first)
        self.second.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = self.second.sqrt().div_(math.sqrt(1 - second**self.steps)).add_(self.eps)
        self.weight.mul_(1 - lr * self.weight_decay)
        self.weight.addcdiv_(self.first, root, value=-lr / (1 - first**self.steps))
