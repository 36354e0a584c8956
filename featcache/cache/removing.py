"""Removing a cache so that a kill on the way leaves nothing that passes for one, and what was made from it."""

from __future__ import annotations

from featcache.cache.catalogue import locate
from featcache.cache.layout import COMPLETE, MANIFEST, STATE
from featcache.errors import CacheError, CacheNotFound
from featcache.places.folder import Folder, is_url, join
from featcache.places.home import caches_location, local_home, resolve_root
from featcache.places.lock import OWNER, writing
from featcache.places.together import together

MADE_FROM_CACHES = ("runs", "bench", "search")
"""Folders of a root whose records hold the digest of the cache that they were made from."""


def find_cache(cache: str, root: str | None) -> Folder:
    """The folder of a cache, finished or not; also one that was killed before it said what it is made from.

    Raises:
        CacheNotFound: There is none.
    """
    try:
        return locate(cache, root)
    except CacheNotFound:
        begun = Folder(join(caches_location(root), cache))
        if "/" in cache or cache.startswith(".") or not begun.names():
            raise
        return begun


def made_from(digest: str, root: str | None) -> list[str]:
    """Where under a root results lie that were made from the cache of this digest, sorted; a folder each.

    Args:
        digest: The cache's.
        root: As `featcache.places.home.resolve_root`. Of a root behind a URL, benches and searches are on this machine.
    """
    places = [Folder(resolve_root(root))]
    if places[0].remote:
        places.append(Folder(str(local_home(root))))
    found = set[str]()
    for place in places:
        records = [
            name
            for folder in MADE_FROM_CACHES
            for name in place.files(folder)
            if name.endswith(".json") and not any(part.startswith(".") for part in name.split("/"))
        ]
        says = together(lambda name, place=place: _says(place, name, digest.encode()), records)  # type: ignore[misc]
        found |= {join(place.location, name.rpartition("/")[0]) for name, so in zip(records, says, strict=True) if so}
    return sorted(found)


def remove_cache(folder: Folder) -> None:
    """Remove a cache: on a disk it is moved aside in one step, and then deleted.

    Behind a URL its rows stop to count first and its manifest goes last: killed on the way it is an unfinished cache.

    Raises:
        CacheLocked: Another run is writing it.
    """
    with writing(folder) as held:
        if not folder.remote:
            folder.remove_itself()
            return
        names = [name for name in folder.files() if name not in (COMPLETE, MANIFEST, OWNER)]
        states = [name for name in names if name.split("/")[1:2] == [STATE]]
        for some in ([COMPLETE], states, names, [MANIFEST]):
            held.check()
            folder.remove(*some)


def remove_leftovers(root: str | None) -> None:
    """Delete caches under a root on this machine that were moved aside by a removal that was killed."""
    location = caches_location(root)
    if not is_url(location):
        Folder(location).remove_partial_folders()


def digest_of(folder: Folder) -> str | None:
    """The digest of a cache as its manifest says; None where that is missing or damaged."""
    from featcache.cache.reading import read_manifest

    try:
        return str(read_manifest(folder)["digest"])
    except (FileNotFoundError, CacheError):
        return None


def _says(place: Folder, name: str, digest: bytes) -> bool:
    try:
        return digest in place.read(name)
    except FileNotFoundError:
        return False
