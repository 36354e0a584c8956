"""Heads as they begin: what training starts from is a property of a method, though nobody may ask for no training."""

from __future__ import annotations

from typing import Any, TypeVar

from adapters.head import Head
from adapters.support import Support

H = TypeVar("H", bound=Head)


def untrained(head: H, X: Any, y: Any, *, text: Any) -> H:
    """The head fitted without a single step."""
    steps = {"epochs", "steps", "iterations"} & set(head.get_params())
    head.set_params(**dict.fromkeys(steps, 0))
    return head._fit_support(Support.check(X, y, text))
