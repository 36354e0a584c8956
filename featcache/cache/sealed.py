"""Seals: digests of the small files of a cache and of its shards.

A small file has a digest of what it says, so that no changed character passes for a value. That of a shard is of all
that it holds and of whose it is, so that no chunk passes for another's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from featcache.cache.plan import Shard
from featcache.errors import CacheError
from featcache.places.folder import Folder, join
from featcache.records import Malformed, canonical_json, checked, parse_json, sealed, unsealed

SEAL_BYTES = hashlib.sha256().digest_size
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


def seals_shards(manifest: Mapping[str, Any]) -> bool:
    """Whether the shards of a cache are sealed; those of older caches are not."""
    return bool(manifest["plan"].get("seals"))


class ShardSeal:
    """Takes the arrays of a shard one after the other, in the order of docs/format.md.

    Args:
        cache: The digest in the cache's manifest.
        shard: Which rows.
    """

    def __init__(self, cache: str, shard: Shard) -> None:
        whose = canonical_json([cache, shard.split, shard.start, shard.stop])
        self._sha = hashlib.sha256(whose.encode(errors="surrogatepass"))

    def add(self, name: str, values: np.ndarray) -> None:
        """Add the values (R, …) of an array, as they are stored."""
        self._sha.update(f"\n{name}\n".encode())
        self._sha.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)

    def digest(self) -> np.ndarray:
        """(32,) uint8."""
        return np.frombuffer(self._sha.digest(), np.uint8)
