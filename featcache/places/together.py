"""Asking a place for many things at once: a distant store answers them together as fast as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 32
"""Questions under way."""


def together(ask: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What `ask` gives for each item, in their order; the first error is raised."""
    with ThreadPoolExecutor(MOST) as pool:
        return list(pool.map(ask, items))
