"""Seconds of a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def timed(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> tuple[float, T]:
    """Seconds, and what the call gave."""
    start = time.perf_counter()
    result = call(*arguments, **options)
    return time.perf_counter() - start, result
