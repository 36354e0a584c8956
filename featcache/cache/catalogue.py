"""The caches under a root: list them, open one by name, find the latest."""

from __future__ import annotations

import difflib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featcache.cache import layout
from featcache.cache.layout import DAMAGE, MANIFEST, MISSING, ROOT_GROUP, STATE
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import Cache, read_completion, read_manifest
from featcache.cache.writing import shard_states
from featcache.errors import CacheError, CacheNotFound
from featcache.places.again import again
from featcache.places.folder import Folder, array_in, is_url, join, local_path
from featcache.places.home import caches_location, resolve_root
from featcache.places.together import together
from featcache.utc import now

if TYPE_CHECKING:
    import zarr

LATEST = "latest.json"
"""Under a root: the cache that `extract` was last asked for though it was finished, and when."""


@dataclass(frozen=True)
class Listed:
    """One line of `featcache list`.

    Attributes:
        name: The cache's name.
        path: Where it is.
        manifest: Its manifest; empty if it cannot be read.
        finished: When it was finished (UTC, ISO 8601), or None if it is not.
        problem: Why the manifest cannot be read, or None.
    """

    name: str
    path: str
    manifest: dict[str, Any]
    finished: str | None
    problem: str | None = None

    def done(self) -> int:
        """Rows that are done, counted in the store; those of a damaged record are not."""
        rows = self.manifest["plan"]["rows"]
        if self.finished:
            return sum(rows.values())
        folder = Folder(self.path)
        if not folder.exists(ROOT_GROUP):  # stopped before the first array
            return 0
        group, plan = folder.group("r"), ShardPlan.from_manifest(self.manifest)
        return sum(_done(group, plan, split) for split in rows)


def _done(group: zarr.Group, plan: ShardPlan, split: str) -> int:
    """Rows of a split that are done; none where its states are damaged, or are not begun."""
    try:
        array = array_in(group, layout.array(split, STATE))
    except DAMAGE:
        return 0
    records = shard_states(array, plan, split)
    return sum(int((states != MISSING).sum()) for _, states in records if states is not None)


def list_caches(root: str | Path | None = None) -> list[Listed]:
    """All caches under a root, the most recently finished first, unfinished ones last."""
    home = Folder(caches_location(root))
    names = [name for name in home.names() if not name.startswith(".")]  # hidden is what is being removed
    found = together(lambda name: _listed(name, Folder(join(home.location, name))), names)
    return sorted(filter(None, found), key=lambda cache: cache.finished or "", reverse=True)


def _listed(name: str, folder: Folder) -> Listed | None:
    """The line of one folder; None if it holds no cache."""
    try:
        manifest, complete = read_manifest(folder), read_completion(folder)
    except FileNotFoundError:
        return None
    except CacheError as error:  # one odd folder must not hide the others
        return Listed(name, folder.location, {}, None, str(error))
    return Listed(name, folder.location, manifest, complete["finished"] if complete else None)


def locate(cache: str | Path, root: str | Path | None = None) -> Folder:
    """The folder of a cache, finished or not, given by name, path or URL.

    Raises:
        CacheNotFound: Nothing there; the message lists what there is.
    """
    given = str(cache)
    places = [given] if is_url(given) else [join(caches_location(root), given), str(local_path(given))]
    for place in places:
        folder = Folder(place)
        if folder.exists(MANIFEST):
            return folder
    names = [listed.name for listed in list_caches(root)]
    near = difflib.get_close_matches(given, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}" if names else ""
    there = again(root)
    seen, made = f"type `featcache list{there}` to see all", "make one with `featcache extract --model … --dataset …"
    advice = seen if names else f"{made}{there}`"
    raise CacheNotFound(f"no cache {given!r} under {caches_location(root)}; {hint + '; ' if hint else ''}{advice}")


def open_cache(cache: str | Path, root: str | Path | None = None) -> Cache:
    """Open a finished cache by name, path or URL.

    Args:
        cache: A name as `featcache list` shows it, a folder, or a URL.
        root: Where caches live; default `$FEATCACHE_HOME` or `~/.cache/featcache`.

    Raises:
        CacheNotFound: Nothing there.
        CacheIncomplete: It is there but unfinished.
    """
    return Cache(locate(cache, root))


def latest(root: str | Path | None = None) -> Cache:
    """The cache that was extracted last: finished, or found to be finished.

    Raises:
        CacheError: There is none.
    """
    finished = [listed for listed in list_caches(root) if listed.finished]
    asked = _asked_for_last(root)
    for listed in finished:
        if listed.name == asked.get("cache") and str(finished[0].finished) <= str(asked.get("at")):
            return Cache(Folder(listed.path))
    if finished:
        return Cache(Folder(finished[0].path))
    message = f"no finished cache under {caches_location(root)}; make one first: "
    there = again(root)
    raise CacheError(message + f"`featcache extract --model tiny --dataset digits{there}` takes seconds")


def remember(cache: Cache, root: str | Path | None = None) -> None:
    """Let `latest` find a cache that `extract` found to be finished; where that cannot be kept, it is not."""
    with suppress(OSError, CacheError):
        Folder(resolve_root(root)).write_json(LATEST, {"cache": cache.name, "at": now()})


def _asked_for_last(root: str | Path | None) -> dict[str, Any]:
    try:
        found = Folder(resolve_root(root)).read_json(LATEST)
    except (OSError, ValueError, CacheError):
        return {}
    return found if isinstance(found, dict) else {}
