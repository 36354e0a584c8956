"""Cache logits of the same affinities at many sharpnesses: what choosing beta asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from adapters.training.class_sums import add_by_class
from adapters.training.loop import threads_for

SLICE = 1 << 18
"""Affinities that a CPU sharpens at once (1 MiB)."""


def votes_at(
    affinity: Tensor,
    labels: Tensor,
    betas: Sequence[float],
    classes: int,
    weights: Sequence[Tensor | None] = (None,),
) -> Iterator[tuple[float, list[Tensor]]]:
    """Cache logits of one block of affinities at many sharpnesses; see `adapters.heads.tip.key_cache.votes`.

    On a CPU a few rows at a time, in one small tensor: it stays in a core's cache, and the heap gets no holes of the
    size of a block.

    Args:
        affinity: cosines (Q, M).
        labels: class codes of those keys (Q, M).
        betas: sharpnesses, above 0.
        classes: C.
        weights: factors (M,) of the keys' terms, or None.

    Yields:
        Each beta with the cache logits (Q, C) of every weight.
    """
    queries, keys = affinity.shape
    step = queries if affinity.is_cuda else max(1, SLICE // keys)
    sharp, product = affinity.new_empty(min(step, queries), keys), affinity.new_empty(min(step, queries), keys)
    for beta in betas:
        sums = [affinity.new_zeros(queries, classes) for _ in weights]
        with threads_for(sharp.numel()):
            for start in range(0, queries, step):
                rows = slice(start, min(start + step, queries))
                part = sharp[: rows.stop - start]
                torch.sub(affinity[rows], 1, out=part).mul_(beta).exp_()
                for total, weight in zip(sums, weights, strict=True):
                    term = part if weight is None else torch.mul(part, weight, out=product[: len(part)])
                    add_by_class(total[rows], term, labels[rows])
        yield beta, sums
