"""The seal of a shard: a digest of all that it holds and of whose it is, so that no chunk passes for another's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from featcache.cache.plan import Shard
from featcache.records import canonical_json

SEAL_BYTES = hashlib.sha256().digest_size


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
