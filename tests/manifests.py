"""Caches as if they had been made from something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from featcache.cache.layout import MANIFEST
from featcache.cache.reading import Cache, read_manifest
from featcache.cache.sealed import write_sealed
from featcache.records import digest


def made_from(cache: Cache, change: Callable[[dict[str, Any]], object]) -> None:
    """Let a cache's manifest tell of another identity, sound in itself."""
    manifest = read_manifest(cache.folder)
    change(manifest["identity"])
    write_sealed(cache.folder, MANIFEST, manifest | {"digest": digest(manifest["identity"])})
