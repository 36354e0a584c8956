"""A cache, or several joined, by the place that a report or a command names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.joining.places import placed_at

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def open_place(place: str, root: str | None = None) -> Cache:
    """The cache of a name, folder or URL, or the join that a place names.

    Raises:
        TaskError: the caches cannot be joined.
        CacheError: there is no such cache.
    """
    import featcache

    placed = placed_at(place)
    if not placed:
        return featcache.open(place, root)
    from adapters.joining.joined_cache import join

    return join([featcache.open(each.location, root) for each in placed], [each.weight for each in placed])
