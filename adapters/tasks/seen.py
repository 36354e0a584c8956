"""A cache as the heads of a method see it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from adapters.declared import VIEWS, group_of
from adapters.errors import AdapterError
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from adapters.head import Head
    from featcache.cache.reading import Cache


_TOWERS = {"projections": "text", "pre-projection": "image"}
"""The tower whose last projection a head needs, by what it `sees`."""


def seen_by(head: type[Head], cache: Cache) -> Cache:
    """The cache as the heads of a class see it: its images may be what comes before the last projection.

    Raises:
        AdapterError: they need what this cache does not keep.
    """
    if head.sees == "embeddings":
        return cache
    if "joined" in cache.encoder:
        raise AdapterError(
            f"{head.method} needs the last projections of one encoder, and {cache.name} are joined: give one --cache, "
            "extracted with --keep pre-projection"
        )
    if not _keeps_projection(head, cache):
        raise AdapterError(
            f"{head.method} needs the {_TOWERS[head.sees]} tower's last projection, which cache {cache.name} does "
            "not keep: type the same `featcache extract` command with --keep pre-projection, then give that --cache"
        )
    return cache.before_projection() if head.sees == "pre-projection" else cache


def has_what_it_needs(head: type[Head], cache: Cache) -> bool:
    """Whether a cache keeps what the heads of a class do not work without."""
    if group_of(head.needs) == VIEWS:
        several = max(map(len, cache.text.prompts)) > 1
        return several or cache["train"].take_views(np.zeros(1, np.int64)) is not None
    return head.sees == "embeddings" or _keeps_projection(head, cache)


def _keeps_projection(head: type[Head], cache: Cache) -> bool:
    """Whether a cache keeps the projection that the heads of a class need, those that do not see embeddings alone."""
    return cache.projections is not None and _TOWERS[head.sees] in cache.projections


def task_seen_by(head: type[Head], task: Task) -> Task:
    """The same draw from the cache as the heads of a class see it. Raises as `seen_by`."""
    cache = seen_by(head, task.cache)
    return task if cache is task.cache else replace(task, cache=cache, text=cache.text_set(task.text.name))
