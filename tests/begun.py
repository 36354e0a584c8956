"""Caches that are begun and not continued, with small shards."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from featcache.cache import plan
from featcache.cache.manifest import library_versions
from featcache.extraction.engines.engine import Brief
from featcache.extraction.request import Request
from featcache.extraction.station import Station
from featcache.places.folder import Folder
from featcache.places.home import caches_location
from featcache.places.lock import writing


def begin(images: Path, root: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int = 4) -> Folder:
    """A cache called `c` of an image folder, in which nothing is encoded; a batch is a shard."""
    request = Request(
        model="tiny",
        dataset=str(images),
        root=root,
        name="c",
        device="cpu",
        batch_size=batch_size,
        workers=0,
        on_error="skip",
    )
    folder = Folder(f"{caches_location(root)}/c")
    with monkeypatch.context() as small, writing(folder) as held:
        small.setattr(plan, "SECONDS_PER_SHARD", 1e-9)
        station = Station(Brief(request, request.load_dataset(), folder, held.token, library_versions()), "cpu", 1)
        with closing(station):
            station.load()
            station.prepare()
    return folder
