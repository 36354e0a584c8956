"""`featcache list`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from featcache.commands.shared.options import Json, Root
from featcache.commands.shared.show import show
from featcache.commands.shared.words import encoder
from featcache.origin import caveat
from featcache.show.page import Page, Styled, Table

if TYPE_CHECKING:
    from featcache.cache.catalogue import Listed


def list_caches(root: Root = None, json: Json = False) -> None:
    """List the caches, the most recent first."""
    from featcache.cache.catalogue import list_caches
    from featcache.places.home import caches_location

    caches = list_caches(root)
    show(lambda: caches_json(caches), lambda: caches_page(caches, caches_location(root)), json=json)


def caches_json(caches: Sequence[Listed]) -> dict[str, Any]:
    """The object that `featcache list --json` prints."""
    return {
        "caches": [
            {"name": cache.name, "path": cache.path, "problem": cache.problem}
            if cache.problem
            else {
                "name": cache.name,
                "path": cache.path,
                "dataset": cache.manifest["identity"]["dataset"]["name"],
                "architecture": cache.manifest["identity"]["encoder"]["architecture"],
                "pretrained": cache.manifest["identity"]["encoder"]["pretrained"],
                "caveat": caveat(cache.manifest),
                "rows": cache.manifest["plan"]["rows"],
                "done": cache.done(),
                "finished": cache.finished,
                "digest": cache.manifest["digest"],
            }
            for cache in caches
        ]
    }


def caches_page(caches: Sequence[Listed], location: str) -> Page:
    """The caches in a folder, and below them those that cannot be read."""
    if not caches:
        return Page([f"No caches under {location}. Make one: featcache extract --model tiny --dataset digits"])
    rows = [_row(cache) for cache in caches if not cache.problem]
    columns = ("name", "data set", "encoder", "rows", "finished (UTC)")
    problems = [Styled(f"{cache.name}: {cache.problem}", "red") for cache in caches if cache.problem]
    return Page([Table(columns, rows, title=f"Caches under {location}", numbers=["rows"]), *problems])


def _row(cache: Listed) -> tuple[str, ...]:
    identity, total = cache.manifest["identity"], sum(cache.manifest["plan"]["rows"].values())
    state = cache.finished or Styled(f"{cache.done():,} of {total:,} done", "yellow")
    return cache.name, identity["dataset"]["name"], encoder(identity["encoder"]), f"{total:,}", state
