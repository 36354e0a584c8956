"""The cache that a command works on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import featcache
from featcache.commands.shared.show import tell

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def open_cache(name: str | None, root: str | None, labels: Path | None = None) -> Cache:
    """The cache of that name; without one the cache that was extracted last, which is told.

    Args:
        name: as given.
        root: where caches live.
        labels: a file of mended labels, whose effect is told; None: the data set's own.
    """
    if name:
        cache = featcache.open(name, root)
    else:
        cache = featcache.latest(root)
        tell(f"Using the cache extracted last: {cache.name}")
    if labels is not None:
        cache = cache.relabelled(labels)
        assert cache.mended is not None
        tell(f"Labels of {cache.name}: {cache.mended.told}")
    return cache
