"""What a run would do: told from the data set and the store. No model is loaded, nothing encoded, no cache written.

Listing tars may keep an index of them under the root, as for a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featcache.cache.layout import COMPLETE, MANIFEST
from featcache.cache.manifest import views_of
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import read_manifest
from featcache.cache.writing import shards_left
from featcache.extraction.growing.placing import place
from featcache.extraction.request import Request
from featcache.extraction.requested_prompts import prompts_missing


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
        pictures_left: Pictures to encode: each row's own, and its augmented views.
        images_per_second: As measured when the cache was begun; None before.
    """

    name: str
    path: str
    rows: dict[str, int]
    finished: bool
    shards: int | None
    done: int | None
    rows_left: int
    pictures_left: int
    images_per_second: float | None

    @property
    def seconds_left(self) -> float | None:
        """An estimate, from the speed measured on the machine that began the cache."""
        return self.pictures_left / self.images_per_second if self.images_per_second else None

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
    placed = place(request)
    request, dataset, folder = placed.request, placed.dataset, placed.folder
    name = request.cache_name(dataset)
    rows = {split: len(part.ids) for split, part in dataset.splits.items()}
    views = views_of({"views": request.views_identity()})
    if not folder.exists(MANIFEST):
        pictures = sum(count * (1 + views.get(split, 0)) for split, count in rows.items())
        return Planned(name, folder.location, rows, False, None, None, sum(rows.values()), pictures, None)
    manifest = read_manifest(folder)
    plan = ShardPlan.from_manifest(manifest)
    missing = shards_left(folder, plan)
    every = sum(1 for split in plan.rows for _ in plan.shards(split))
    return Planned(
        name=name,
        path=folder.location,
        rows=rows,
        finished=folder.exists(COMPLETE) and not prompts_missing(request, dataset, folder),
        shards=every,
        done=every - len(missing),
        rows_left=sum(map(len, missing)),
        pictures_left=sum(len(shard) * (1 + views.get(shard.split, 0)) for shard in missing),
        images_per_second=manifest["plan"]["images_per_second"],
    )
