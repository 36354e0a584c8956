"""What a cache keeps against what heads need."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters import ProLIP, SeMoBridge
from adapters.errors import AdapterError
from adapters.tasks.seen import has_what_it_needs, seen_by


@pytest.mark.parametrize(("method", "tower"), [(SeMoBridge, "text"), (ProLIP, "image")])
def test_each_head_needs_the_projection_of_its_tower(method: Any, tower: str) -> None:
    both: dict[str, Any] = {"text": np.eye(3), "image": np.eye(3)}
    cache: Any = SimpleNamespace(name="x", encoder={}, projections=both, before_projection=lambda: cache)
    assert has_what_it_needs(method, cache)
    assert seen_by(method, cache) is cache
    for kept in (None, {name: matrix for name, matrix in both.items() if name != tower}):
        cache.projections = kept
        assert not has_what_it_needs(method, cache)
        with pytest.raises(AdapterError, match=f"needs the {tower} tower's last projection"):
            seen_by(method, cache)
