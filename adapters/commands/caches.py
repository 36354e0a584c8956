"""The cache that a command works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import featcache
from featcache.commands.show import tell

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def open_cache(name: str | None, root: str | None) -> Cache:
    """The cache of that name; without one the cache that was finished last, which is told."""
    if name:
        return featcache.open(name, root)
    latest = featcache.latest(root)
    tell(f"Using the cache finished last: {latest.name}")
    return latest
