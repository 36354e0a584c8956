"""The shards of an imported cache, filled in one reading of its source, however large that is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from featcache.cache.layout import ENCODED, UNREADABLE
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.writing import ShardResult
from featcache.ids import CONTENT_BYTES
from featcache.importing.formats.arrays import Column
from featcache.importing.rows import Listed, NumberedSplit
from featcache.importing.values import Values, bad_entries, float_blocks, row_digests


def filled_shards(listed: Listed, values: Values, plan: ShardPlan, pending: set[Shard]) -> Iterator[ShardResult]:
    """The pending shards, from one reading of the source: one of each split is being filled.

    Args:
        listed: Whose rows they are.
        values: Which of them say nothing.
        plan: How splits are cut.
        pending: What is still to be written.
    """
    splits, column = listed.splits, listed.embeddings
    left = {name: plan.shards(name) for name in splits}
    filling = {name: _Filling(next(left[name]), column) for name in splits}
    first = 0
    for block, _ in float_blocks(column):
        end = first + len(block)
        for name, part in splits.items():
            inside = slice(*np.searchsorted(part.rows, [first, end]).tolist())
            start = inside.start
            while start < inside.stop:
                fill = filling[name]
                stop = min(inside.stop, fill.shard.stop)
                if fill.shard in pending:
                    fill.add(start, block[part.rows[start:stop] - first])
                if stop == fill.shard.stop:
                    if fill.shard in pending:
                        yield _result(fill, part, values)
                    if (following := next(left[name], None)) is not None:
                        filling[name] = _Filling(following, column)
                start = stop
        first = end


class _Filling:
    """A shard that is being filled, with memory once it is needed."""

    def __init__(self, shard: Shard, column: Column) -> None:
        self.shard, self._width = shard, column.shape[1]
        self.rows = np.empty((0, self._width), np.float32)

    def add(self, start: int, rows: np.ndarray) -> None:
        """Put rows where they belong; `start` is the first one's number in its split."""
        if not len(self.rows):
            self.rows = np.empty((len(self.shard), self._width), rows.dtype)
        self.rows[start - self.shard.start :][: len(rows)] = rows


def _result(fill: _Filling, part: NumberedSplit, values: Values) -> ShardResult:
    """A filled shard of that split, with its bad rows left empty."""
    shard = fill.shard
    state = np.full(len(shard), ENCODED, np.int8)
    numbers, positions = part.rows[shard.start : shard.stop], range(shard.start, shard.stop)
    bad = bad_entries(part, numbers, positions, values.bad) if values.bad else []
    content = row_digests(fill.rows, CONTENT_BYTES).copy()
    for entry in bad:
        place = entry["row"] - shard.start
        state[place], fill.rows[place], content[place] = UNREADABLE, np.nan, 0
    return ShardResult(shard, fill.rows, None, state, content, bad)
