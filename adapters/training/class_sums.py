"""Sums by class, the same bits every time.

A GPU scatters by atomic additions, whose order, and so whose rounding, differs from run to run. There a product with
the indicator matrix of the classes adds instead, or a scatter that sorts first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def add_by_class(total: Tensor, terms: Tensor, labels: Tensor) -> Tensor:
    """Add every term to its class, in place.

    Args:
        total: (..., Q, C).
        terms: (..., Q, M).
        labels: class codes (..., Q, M); an expanded view where all Q share them.

    Returns:
        `total`.
    """
    if not total.is_cuda:
        return total.scatter_add_(-1, labels, terms)
    if labels.stride(-2) == 0 or labels.shape[-2] == 1:
        indicator = terms.new_zeros(*labels.shape[:-2], labels.shape[-1], total.shape[-1])
        indicator.scatter_(-1, labels[..., :1, :].mT, 1)
        return total.add_(terms @ indicator)
    with _sorted():
        return total.scatter_add_(-1, labels, terms)


def rows_by_class(rows: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sums (G, C, D) of the rows (G, N, D) of each of C classes, by their codes (G, N)."""
    groups, count, dim = rows.shape
    sums = rows.new_zeros(groups, classes, dim)
    if rows.is_cuda:
        indicator = rows.new_zeros(groups, classes, count).scatter_(1, labels[:, None], 1)
        return torch.bmm(indicator, rows, out=sums)
    flat = labels + classes * torch.arange(groups, device=labels.device)[:, None]
    sums.view(-1, dim).index_add_(0, flat.flatten(), rows.reshape(-1, dim))
    return sums


@contextmanager
def _sorted() -> Iterator[None]:
    """Torch's deterministic algorithms inside."""
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
