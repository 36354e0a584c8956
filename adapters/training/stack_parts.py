"""The parts of a stack of G trainings: tensors (G, ...), batches, optimizers.

Whatever changes from step to step is copied, by `load`, into tensors that stay where they are; a step then reads and
writes only those. So a step can be captured once as a CUDA graph and replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from adapters.support import Support


class Stacked:
    """Something made of tensors whose first axis is the G trainings."""

    state: ClassVar[tuple[str, ...]]
    """Names of those attributes: tensors (G, ...), and parts that are `Stacked` themselves. Each stands once: what an
    optimizer updates belongs to the optimizer."""

    def keep(self, places: Tensor) -> None:
        """Keep some of the trainings only, in the order given.

        Args:
            places: numbers from 0 to G - 1.
        """
        for name in self.state:
            part = getattr(self, name)
            if isinstance(part, Tensor):
                setattr(self, name, part[places])
            elif part is not None:
                part.keep(places)


def tensors_of(part: object) -> Iterator[Tensor]:
    """All tensors that something stacked holds, its parts' too; one that stands twice comes twice."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Stacked):
        yield from tensors_of(list(vars(part).values()))
    elif isinstance(part, list | tuple):
        for each in part:
            yield from tensors_of(each)


def bytes_of(part: Stacked) -> int:
    """Memory of all tensors that something stacked holds."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors_of(part)}
    return sum(storage.nbytes() for storage in storages.values())


class Batches(Stacked):
    """What every step of every training sees.

    Args:
        pools: unit rows (P, D) that each training draws from; a pool that several draw from is held once.
        labels: class codes (P,) of each pool.
        rows: row numbers (steps, B) of each training; kept as int32, since over thousands of steps they add up.
        device: where to.

    Attributes:
        pool: the S distinct pools (S, P, D).
        pool_of: which of them each training draws from (G,).
        chosen: row numbers of the step that was loaded last (G, B), counted through all pools.
        features: its rows (G, B, D).
        labels: its class codes (G, B).
    """

    state: ClassVar[tuple[str, ...]] = ("pool_of", "rows", "chosen", "features", "labels")

    def __init__(
        self, pools: Sequence[Tensor], labels: Sequence[Tensor], rows: Sequence[Tensor], device: torch.device
    ) -> None:
        distinct = {(id(pool), id(codes)): (pool, codes) for pool, codes in zip(pools, labels, strict=True)}
        place = {key: number for number, key in enumerate(distinct)}
        self.pool, self.codes = (torch.stack(list(parts)).to(device) for parts in zip(*distinct.values(), strict=True))
        numbers = [place[id(pool), id(codes)] for pool, codes in zip(pools, labels, strict=True)]
        self.pool_of = torch.tensor(numbers, device=device)
        self.rows = torch.stack([each.int() for each in rows]).to(device)
        self.rows += (self.pool_of.int() * self.pool.shape[1])[:, None, None]
        groups, _, batch = self.rows.shape
        self.chosen = self.rows.new_zeros(groups, batch)
        self.features = self.pool.new_empty(groups, batch, self.pool.shape[2])
        self.labels = self.codes.new_empty(groups, batch)

    @classmethod
    def of(cls, supports: Sequence[Support], rows: Sequence[Tensor], device: torch.device) -> Self:
        """Batches of unit views: view v of image i is row i V + v of the pool."""
        distinct = {id(support): support for support in supports}
        pools = {key: torch.from_numpy(each.unit_views).flatten(0, 1) for key, each in distinct.items()}
        labels = {
            key: torch.from_numpy(each.labels).repeat_interleave(each.views.shape[1]) for key, each in distinct.items()
        }
        return cls([pools[id(each)] for each in supports], [labels[id(each)] for each in supports], rows, device)

    def load(self, index: int) -> None:
        """Gather the rows of a step."""
        self.chosen.copy_(self.rows[:, index])
        flat = self.chosen.view(-1)
        torch.index_select(self.pool.flatten(0, 1), 0, flat, out=self.features.view(-1, self.pool.shape[2]))
        torch.index_select(self.codes.view(-1), 0, flat, out=self.labels.view(-1))


class StackedSGD(Stacked):
    """Stochastic gradient descent with momentum and coupled weight decay.

    buffer <- momentum * buffer + gradient + weight_decay * w;  w <- w - lr * buffer

    Args:
        weight: parameters (G, out, in), updated in place.
        rates: learning rates of each training (G, steps).
        momentum: of all.
        weight_decay: of each (G,); None: none.
    """

    state = ("weight", "buffer", "rates", "rate", "weight_decay")

    def __init__(self, weight: Tensor, rates: Tensor, *, momentum: float, weight_decay: Tensor | None = None) -> None:
        self.weight, self.momentum = weight, momentum
        self.buffer = torch.zeros_like(weight)
        self.rates = rates[:, :, None, None]
        self.rate = rates.new_zeros(len(rates), 1, 1)
        self.weight_decay = None if weight_decay is None else weight_decay[:, None, None]

    def load(self, index: int) -> None:
        """Take the rates of a step."""
        self.rate.copy_(self.rates[:, index])

    def step(self, left: Tensor, right: Tensor) -> None:
        """One update; the gradient (G, out, in) is the product of (G, out, B) and (G, B, in).

        Taking the product straight into the momentum saves a pass over the weights.
        """
        self.buffer.baddbmm_(left, right, beta=self.momentum)
        self._descend()

    def step_along(self, gradient: Tensor) -> None:
        """One update along a gradient (G, out, in) that is not a product of two factors."""
        self.buffer.mul_(self.momentum).add_(gradient)
        self._descend()

    def _descend(self) -> None:
        if self.weight_decay is not None:
            self.buffer.addcmul_(self.weight, self.weight_decay)
        self.weight.addcmul_(self.buffer, self.rate, value=-1)


class StackedAdamW(Stacked):
    """Adam with decoupled weight decay.

    w <- (1 - lr * weight_decay) w - lr * m^ / (sqrt(v^) + eps), with bias-corrected moments m^ and v^.

    Args:
        weight: parameters (G, out, in), updated in place.
        rates: learning rates of each training (G, steps).
        weight_decay: of each (G,).
        eps: added to the root of the second moment.
        betas: decay of the first and the second moment.
    """

    state = ("weight", "first", "second", "scales", "now")

    def __init__(
        self,
        weight: Tensor,
        rates: Tensor,
        *,
        weight_decay: Tensor,
        eps: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.weight, self.betas = weight, betas
        self.first, self.second = torch.zeros_like(weight), torch.zeros_like(weight)
        count = torch.arange(1, rates.shape[1] + 1, device=rates.device, dtype=torch.float64)
        shrink = 1 - rates * weight_decay[:, None]
        # size * m / (root * sqrt(v) + eps) = m / (slope * sqrt(v) + floor): fewer passes
        size = rates / (1 - betas[0] ** count).to(rates.dtype)
        slope = torch.where(size > 0, 1 / size / (1 - betas[1] ** count).sqrt().to(rates.dtype), 0)
        self.scales = torch.stack([shrink, slope, eps / size], 2)[..., None, None]  # (G, steps, 3, 1, 1)
        self.now = self.scales.new_zeros(len(rates), 3, 1, 1)

    def load(self, index: int) -> None:
        """Take the rates of a step."""
        self.now.copy_(self.scales[:, index])

    def step(self, gradient: Tensor) -> None:
        """One update; the gradient (G, out, in) is overwritten."""
        first, second = self.betas
        shrink, slope, floor = self.now.unbind(1)
        self.first.lerp_(gradient, 1 - first)
        self.second.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        torch.sqrt(self.second, out=gradient)
        gradient.mul_(slope).add_(floor)  # not `addcmul`: that is not vectorized where `floor` is spread
        self.weight.mul_(shrink).addcdiv_(self.first, gradient, value=-1)


def per_head(values: Sequence[float], device: torch.device) -> Tensor:
    """One float32 number a training (G,)."""
    return torch.tensor(list(values), dtype=torch.float32, device=device)


def rates_of(schedules: Sequence[Sequence[float]], device: torch.device) -> Tensor:
    """Learning rates (G, steps) of schedules of one length."""
    return torch.tensor(schedules, dtype=torch.float32, device=device).view(len(schedules), -1)


def steps_of(epochs: Sequence[Sequence[Tensor]], size: int) -> Tensor:
    """Row numbers (steps, B) of the batches of all epochs, each of B rows; (0, B) without any."""
    return torch.stack([*(rows for epoch in epochs for rows in epoch)]) if epochs else torch.zeros(0, size).long()
