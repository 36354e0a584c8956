"""The small training loop that trained heads share: schedules, batches, updates.

Updates are written out, in place and with few calls: a step on 32 rows takes a fraction of a millisecond, and
`torch.optim` would add its bookkeeping to every step and about a second of imports (its compiler front end) to a run
that should take less than that. Each update is the mathematics of the optimizer named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from adapters.errors import AdapterError

WARMUP_LR = 1e-5
"""Learning rate of the one warm-up epoch."""


def resolve_device(device: str) -> torch.device:
    """The torch device of a name; `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        AdapterError: an unknown device, or one that this machine lacks.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise AdapterError(f"device={device!r}; expected auto, cpu, cuda, cuda:N or mps") from error
    if (resolved.type == "cuda" and not torch.cuda.is_available()) or (
        resolved.type == "mps" and not torch.backends.mps.is_available()
    ):
        raise AdapterError(f"device={device!r}, but this machine has none; type --device cpu, or auto")
    return resolved


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


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of logits (..., B, C) over their B rows, and its gradient with respect to them.

    Args:
        logits: (..., B, C).
        labels: class codes (..., B).

    Returns:
        Losses (...) and gradients (..., B, C): leading dimensions are trainings that know nothing of each other.
    """
    log_probability = torch.log_softmax(logits, -1)
    index = labels[..., None]
    loss = -log_probability.gather(-1, index)[..., 0].mean(-1)
    gradient = log_probability.exp_()
    gradient.scatter_add_(-1, index, gradient.new_full((1,) * index.ndim, -1.0).expand_as(index))
    return loss, gradient.div_(labels.shape[-1])


class SGD:
    """Stochastic gradient descent with momentum and coupled weight decay.

    buffer <- momentum * buffer + gradient + weight_decay * w;  w <- w - lr * buffer

    Args:
        weights: parameters, updated in place.
        momentum: momentum.
        weight_decay: weight decay.
    """

    def __init__(self, weights: Sequence[Tensor], *, momentum: float, weight_decay: float) -> None:
        self.weights, self.momentum, self.weight_decay = weights, momentum, weight_decay
        self.buffers = [torch.zeros_like(weight) for weight in weights]

    def step(self, factors: Sequence[tuple[Tensor, Tensor]], lr: float) -> None:
        """One update; the gradient of weight i (out, in) is the product of its two factors (out, B) and (B, in).

        Taking the product straight into the momentum saves a pass over the weights.
        """
        for weight, buffer, (left, right) in zip(self.weights, self.buffers, factors, strict=True):
            buffer.addmm_(left, right, beta=self.momentum)
            buffer.add_(weight, alpha=self.weight_decay)
            weight.add_(buffer, alpha=-lr)


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
