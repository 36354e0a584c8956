"""Caches as if they had been made from something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from featcache.cache.layout import COMPLETE, MANIFEST, SEALS
from featcache.cache.reading import Cache, read_completion, read_manifest
from featcache.cache.sealed import write_sealed
from featcache.records import digest


def made_from(cache: Cache, change: Callable[[dict[str, Any]], object]) -> None:
    """Let a cache's manifest tell of another identity, sound in itself; its shards are sealed for none then."""
    without_seals(cache)
    manifest = read_manifest(cache.folder)
    change(manifest["identity"])
    write_sealed(cache.folder, MANIFEST, manifest | {"digest": digest(manifest["identity"])})


def without_seals(cache: Cache) -> None:
    """Make it a cache from before there were seals of shards."""
    manifest, complete = read_manifest(cache.folder), read_completion(cache.folder)
    if "seals" not in manifest["plan"]:
        return
    del manifest["plan"]["seals"]
    for split in cache.splits:
        cache.folder.remove_folder(f"{split}/{SEALS}")
    write_sealed(cache.folder, MANIFEST, manifest)
    if complete is not None:
        cache.folder.consolidate()
        files = {name: digest for name, digest in complete["files"].items() if f"/{SEALS}/" not in name}
        write_sealed(cache.folder, COMPLETE, {**complete, "files": files})
