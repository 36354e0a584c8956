"""Tasks, and heads in the list of methods that record what they are given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from adapters.methods import METHODS
from adapters.tasks.task import Task
from tests.adapters.bench.recorders import CALLS, Borrowing, Bound, Continuing, Online

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("fake_heads")
    for head in (Bound, Continuing, Borrowing, Online):
        setattr(module, head.__name__, head)
        monkeypatch.setitem(METHODS.homes, head.method, f"fake_heads:{head.__name__}")
    monkeypatch.setitem(sys.modules, "fake_heads", module)
    CALLS.clear()
    yield
    CALLS.clear()


@pytest.fixture
def task(make_cache: Make) -> Task:
    return Task.sample(make_cache(), shots=3, seed=1)
