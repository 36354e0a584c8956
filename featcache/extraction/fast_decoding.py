"""What `--decode fast` costs: embeddings of a few images beside those of exact decoding, before any is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from featcache.cache.plan import ShardPlan
from featcache.encoding.waits import Waits
from featcache.extraction.job import Job

SAMPLE = 256
"""Images of the first split that are encoded both ways, spread over it."""


def cosine_to_exact(job: Job) -> Mapping[str, Any] | None:
    """Cosine of the fast to the exact embedding over a few images: `mean`, `least`, `images`; None if none is there."""
    split, listing = next((split, ids) for split, ids in job.ids.items() if len(ids))
    few = listing[:: max(1, len(listing) // SAMPLE)][:SAMPLE]
    plan = ShardPlan(rows={split: len(few)}, batch_size=job.plan.batch_size, rows_per_shard=job.plan.batch_size)
    sample = replace(job, ids={split: few}, plan=plan, views={}, workers=0, waits=Waits())
    batches = [(split, rows) for shard in plan.shards(split) for rows in plan.batches(shard)]
    fast, exact = (
        np.concatenate([embeddings[:, 0] for _, embeddings in one.encode(batches)]).astype(np.float64)
        for one in (sample, replace(sample, exact=True))
    )
    both = np.isfinite(fast).all(1) & np.isfinite(exact).all(1)
    if not both.any():
        return None
    fast, exact = fast[both], exact[both]
    cosine = (fast * exact).sum(1) / (np.linalg.norm(fast, axis=1) * np.linalg.norm(exact, axis=1))
    return {"mean": round(float(cosine.mean()), 6), "least": round(float(cosine.min()), 6), "images": int(both.sum())}
