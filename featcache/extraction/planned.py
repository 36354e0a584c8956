"""What a run would do: told from the data set and the store, with nothing loaded, started or written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featcache.cache.layout import COMPLETE, DAMAGE, MANIFEST, MISSING, ROOT_GROUP, STATE
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import read_manifest
from featcache.extraction.extract import require_same_request
from featcache.extraction.request import Request
from featcache.places.folder import Folder, array_in, join
from featcache.places.home import caches_location


@dataclass(frozen=True)
class Planned:
    """The work of one cache.

    Attributes:
        name: The cache's.
        path: Where it is, or will be.
        rows: Rows of each split.
        finished: Whether nothing is left to do.
        shards: Of all splits; None before a first run, which measures the speed that decides their size.
        done: Shards that are written; None likewise.
        rows_left: Rows to encode.
        images_per_second: As measured when the cache was begun; None before.
    """

    name: str
    path: str
    rows: dict[str, int]
    finished: bool
    shards: int | None
    done: int | None
    rows_left: int
    images_per_second: float | None

    @property
    def seconds_left(self) -> float | None:
        """An estimate, from the speed measured on the machine that began the cache."""
        return self.rows_left / self.images_per_second if self.images_per_second else None

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        left = None if self.shards is None or self.done is None else self.shards - self.done
        seconds = self.seconds_left
        return {
            "cache": self.path,
            "name": self.name,
            "rows": self.rows,
            "finished": self.finished,
            "shards": self.shards,
            "done": self.done,
            "left": left,
            "rows_left": self.rows_left,
            "images_per_second": self.images_per_second,
            "seconds_left": seconds and round(seconds, 1),
        }


def planned(request: Request) -> Planned:
    """What `request` would do.

    Raises:
        DataError: The data set cannot be listed.
        CacheMismatch: There is a cache of that name that was made from something else.
    """
    dataset = request.load_dataset()
    name = request.cache_name(dataset)
    folder = Folder(join(caches_location(request.root), name))
    rows = {split: len(part.ids) for split, part in dataset.splits.items()}
    if not folder.exists(MANIFEST):
        return Planned(name, folder.location, rows, False, None, None, sum(rows.values()), None)
    manifest = read_manifest(folder)
    require_same_request(manifest, request, dataset)
    plan = ShardPlan.from_manifest(manifest)
    missing = [
        shard
        for split in plan.rows
        for shard, state in zip(plan.shards(split), _states(folder, plan, split), strict=True)
        if (state == MISSING).any()
    ]
    every = sum(1 for split in plan.rows for _ in plan.shards(split))
    return Planned(
        name=name,
        path=folder.location,
        rows=rows,
        finished=folder.exists(COMPLETE),
        shards=every,
        done=every - len(missing),
        rows_left=sum(map(len, missing)),
        images_per_second=manifest["plan"]["images_per_second"],
    )


def _states(folder: Folder, plan: ShardPlan, split: str) -> list[np.ndarray]:
    """The states of each shard's rows; of what is not there or damaged, that it is missing."""
    shards = list(plan.shards(split))
    nothing = [np.full(len(shard), MISSING, np.int8) for shard in shards]
    if not folder.exists(ROOT_GROUP):
        return nothing
    try:
        state = np.asarray(array_in(folder.group("r"), split, STATE)[:])
    except DAMAGE:
        return nothing
    return [state[shard.start : shard.stop] for shard in shards]
