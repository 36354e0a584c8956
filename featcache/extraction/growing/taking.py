"""A shard whose known rows are taken from other caches; what is not sound there any more is encoded after all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from featcache.cache.layout import ENCODED
from featcache.cache.plan import ShardPlan
from featcache.encoding.known_images import UNKNOWN
from featcache.encoding.waits import READING, Waits

if TYPE_CHECKING:
    from featcache.cache.writing import ShardResult
    from featcache.extraction.job import Job


def take_known(result: ShardResult, places: np.ndarray, job: Job) -> None:
    """Fill the rows of a shard that have a place in other caches.

    Args:
        result: The shard, filled but for these rows, whose digests are there.
        places: (R,) of its rows; `UNKNOWN` for those that are encoded.
        job: What they belong to.

    Raises:
        DataError: An image that no cache has any more is unreadable, and the job says to fail then.
    """
    rows = np.flatnonzero(places != UNKNOWN)
    if not len(rows):
        return
    assert job.known is not None
    ids = job.ids[result.shard.split][result.shard.start : result.shard.stop][rows]
    with job.waits.on(READING):
        found = job.known.take(result.shard.split, places[rows], result.content[rows], ids, job.encoder.width)
    there = rows[found.taken]
    result.images[there] = found.images[found.taken]
    if result.views is not None and found.views is not None:
        result.views[there] = found.views[found.taken]
    result.state[there] = ENCODED
    result.reused = len(there)
    _encode(result, rows[~found.taken], job)


def _encode(result: ShardResult, rows: np.ndarray, job: Job) -> None:
    """Encode rows of a shard by themselves, in batches of the same size."""
    from featcache.extraction.job import fill

    if not len(rows):
        return
    split, size = result.shard.split, job.plan.batch_size
    plan = ShardPlan({split: len(rows)}, batch_size=size, rows_per_shard=-(-len(rows) // size) * size)
    ids = job.ids[split][result.shard.start + rows]
    workers = job.workers if len(rows) > size else 0
    alone = replace(job, ids={split: ids}, plan=plan, known=None, workers=workers, waits=Waits())
    batches = [batch for shard in plan.shards(split) for batch in plan.batches(shard)]
    for batch, (decoded, embeddings) in zip(batches, alone.encode((split, one) for one in batches), strict=True):
        fill(result, (result.shard.start + rows[batch.start : batch.stop]).tolist(), decoded, embeddings, job)
    result.bad.sort(key=lambda entry: int(entry["row"]))
