"""A bucket without a server: what a store does is what its own library does in memory."""

from __future__ import annotations

import pytest
from obstore.store import MemoryStore

from featcache.places import bucket


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder behind a URL is one of its own in memory."""
    monkeypatch.setattr(bucket, "store_at", lambda location: MemoryStore())
