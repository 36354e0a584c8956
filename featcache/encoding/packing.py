"""Batches of which many rows are known: what is left of several is encoded together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from featcache.images.batches import PixelBatch

MOST_TOGETHER = 64
"""Batches that wait for their last row, at most."""


def packed(batches: Iterable[PixelBatch], size: int) -> Iterator[list[PixelBatch]]:
    """The same batches in order, in groups that have at most so many rows to encode.

    A batch without known rows stays alone: rows that are encoded together are then those of the plan.
    """
    group: list[PixelBatch] = []
    rows = 0
    for batch in batches:
        alone = batch.known is None
        fits = rows + len(batch.pixels) <= size and len(group) < MOST_TOGETHER
        if group and (alone or not fits or batch.pixels.shape[1:] != group[0].pixels.shape[1:]):
            yield group
            group, rows = [], 0
        group.append(batch)
        rows += len(batch.pixels)
        if alone or not rows:
            yield group
            group, rows = [], 0
    if group:
        yield group
