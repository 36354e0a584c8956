"""A cache of many small shards with an unreadable image."""

from __future__ import annotations

from pathlib import Path

import pytest

import featcache
from featcache.cache import plan
from tests.conftest import ImageFolder


@pytest.fixture
def cache(root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> featcache.Cache:
    monkeypatch.setattr(plan, "SECONDS_PER_SHARD", 1e-9)  # one batch a shard
    folder = image_folder()
    (folder / "class_0" / "broken.png").write_bytes(b"")
    return featcache.extract(
        "tiny", str(folder), batch_size=4, workers=0, views=1, on_error="skip", device="cpu", progress=False
    )
