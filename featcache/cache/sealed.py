"""The small files of a cache, each with a digest of what it says, so that no changed character passes for a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.cache.manifest import digest
from featcache.errors import CacheError
from featcache.places.folder import Folder, join

SEAL = "seal"
"""The key of the digest. Files of older versions have none."""
REPAIR = "type `featcache verify {} --repair`, then the same `featcache extract` command"


def write_sealed(folder: Folder, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its digest."""
    folder.write_json(name, {**content, SEAL: digest(content)})


def read_sealed(folder: Folder, name: str, remedy: str = REPAIR) -> dict[str, Any]:
    """A JSON object as it was written, without its digest.

    Args:
        folder: The cache's.
        name: The file's.
        remedy: What to do when it is damaged.

    Raises:
        FileNotFoundError: There is no such file.
        CacheError: It is not what was written.
    """
    content = folder.read_json(name)
    seal = content.pop(SEAL, None) if isinstance(content, dict) else ""
    if seal is not None and seal != digest(content):
        message = f"{join(folder.location, name)} is damaged: it is not what was written; "
        raise CacheError(message + remedy.format(folder.location))
    return dict(content)


def find_sealed(folder: Folder, name: str) -> dict[str, Any] | None:
    """The same, or None if there is no such file."""
    try:
        return read_sealed(folder, name)
    except FileNotFoundError:
        return None
