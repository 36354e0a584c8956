"""The small files of a cache, each with a digest of what it says, so that no changed character passes for a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.errors import CacheError
from featcache.places.folder import Folder, join
from featcache.records import Malformed, checked, parse_json, sealed, unsealed

REPAIR = "type `featcache verify {} --repair`, then the same `featcache extract` command"


def write_sealed(folder: Folder, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its digest."""
    folder.write_json(name, sealed(content))


def read_sealed(folder: Folder, name: str, kind: Any, remedy: str = REPAIR) -> dict[str, Any]:
    """A JSON object as it was written, without its digest.

    Args:
        folder: The cache's.
        name: The file's.
        kind: The typed dictionary that it is; it may have other keys, too.
        remedy: What to do when it is damaged.

    Raises:
        FileNotFoundError: There is no such file.
        CacheError: It is not what was written, or not of that kind; the message names the field.
    """
    try:
        content = unsealed(parse_json(folder.read(name)))
        checked(content, kind)
    except Malformed as error:
        message = f"{join(folder.location, name)} is damaged: {error}; "
        raise CacheError(message + remedy.format(folder.location)) from error
    return content


def find_sealed(folder: Folder, name: str, kind: Any) -> dict[str, Any] | None:
    """The same, or None if there is no such file."""
    try:
        return read_sealed(folder, name, kind)
    except FileNotFoundError:
        return None
