"""Searches in a small cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.search.results import Results
from adapters.search.search import run

Make = Callable[..., Any]


@pytest.fixture
def searched(make_cache: Make, tmp_path: Path) -> Callable[..., Results]:
    def run_search(method: str, grid: Any, **options: Any) -> Results:
        asked = {"cache": make_cache(), "shots": [2], "seeds": [1, 2], "out": tmp_path / "search", **options}
        return run(method, grid, **asked)

    return run_search
