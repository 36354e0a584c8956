"""`featcache remove`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.commands.shared.confirm import Yes, require_yes
from featcache.commands.shared.options import CacheName, Json, Root
from featcache.commands.shared.show import show, tell
from featcache.errors import CacheError
from featcache.show.page import Page

MOST = 10
"""Results made from a cache that are listed."""


def remove(cache: CacheName, yes: Yes = False, root: Root = None, json: Json = False) -> None:
    """Remove a cache, finished or not, after saying what was made from it and asking.

    A run that writes it is not disturbed: then nothing is removed.
    """
    from featcache.cache.removing import digest_of, find_cache, made_from, remove_cache, remove_leftovers

    folder = find_cache(cache, root)
    digest = digest_of(folder)
    results = made_from(digest, root) if digest else []
    for line in results_told(results):
        tell(line)
    require_yes(f"Remove the cache {folder.location}?", yes, CacheError)
    remove_cache(folder)
    remove_leftovers(root)
    removed = {"removed": folder.location, "made_from_it": results}
    show(lambda: removed, lambda: removed_page(removed), json=json)


def results_told(results: list[str]) -> list[str]:
    """What was made from a cache, a line each."""
    if not results:
        return []
    more = [f"and {len(results) - MOST} more"] if len(results) > MOST else []
    many = f"{len(results)} results were" if len(results) > 1 else "One result was"
    return [f"{many} made from it, which `adapters eval` and `bench` then cannot repeat:", *results[:MOST], *more]


def removed_page(removed: Mapping[str, Any]) -> Page:
    """What was removed."""
    return Page([f"Removed {removed['removed']}"])
