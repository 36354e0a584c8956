"""The tables of a bench with all that stands around them: what formats write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from adapters.bench.summary import Block


class Tables(NamedTuple):
    """What there is to write."""

    title: str
    blocks: Sequence[Block]
    notes: Sequence[str]
    seeds: int
    """How many were asked for."""
    facts: Mapping[str, str]
    """What every line of a file has in common: protocol, select."""
    content: Mapping[str, Any]
    """All of it as JSON-able values."""
