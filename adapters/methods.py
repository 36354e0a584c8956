"""Every method by its name on the command line."""

from __future__ import annotations

import difflib
from typing import Any

from adapters.base import Head
from adapters.clip_adapter import ClipAdapter
from adapters.errors import AdapterError
from adapters.linear import LinearProbe
from adapters.tip_adapter import TipAdapter
from adapters.tip_adapter_f import TipAdapterF
from adapters.zero_shot import ZeroShot

METHODS: dict[str, type[Head]] = {
    head.method: head for head in (ZeroShot, LinearProbe, ClipAdapter, TipAdapter, TipAdapterF)
}


def get(name: str) -> type[Head]:
    """The class of a method's name.

    Raises:
        AdapterError: no such method; the message suggests the nearest name and lists all.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), METHODS, n=1)
    meant = f" did you mean {near[0]!r}?" if near else ""
    raise AdapterError(f"no method {name!r};{meant} expected one of {', '.join(METHODS)}")


def describe_methods(*, dim: int = 512, classes: int = 10, shots: int = 16) -> list[dict[str, Any]]:
    """What there is, for `adapters list`.

    Args:
        dim: feature width D that `parameters` is counted for.
        classes: number of classes C, likewise.
        shots: rows of a class K, likewise.

    Returns:
        One dict a method: name, class, trains, parameters (numbers trained), needs, source.
    """
    return [
        {
            "name": name,
            "class": head.__name__,
            "trains": head.trains,
            "parameters": head().count_parameters(dim=dim, classes=classes, shots=shots),
            "needs": head.needs,
            "source": head.source,
        }
        for name, head in METHODS.items()
    ]
