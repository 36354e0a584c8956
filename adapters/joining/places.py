"""The place of joined caches: one line that names all of them with their weights.

    joined://?cache=/caches/a&weight=0.3&cache=/caches/b&weight=0.7

It stands where a cache's folder stands: in a saved run's report, in an audit, in a search.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from adapters.errors import TaskError

JOINED = "joined://?"


class Placed(NamedTuple):
    """One of the caches: where it is, and its weight."""

    location: str
    weight: float

    @property
    def name(self) -> str:
        """What it is called under its root."""
        return Path(self.location).name


def place_of(placed: Sequence[Placed]) -> str:
    """The place of caches at these locations."""
    pairs = [pair for each in placed for pair in (("cache", each.location), ("weight", repr(each.weight)))]
    return JOINED + urlencode(pairs, safe="/:")


def placed_at(place: str) -> list[Placed]:
    """The caches that a place names; none where it is the place of one cache.

    Raises:
        TaskError: it begins as a place of joined caches, and is none.
    """
    if not place.startswith(JOINED):
        return []
    pairs = parse_qsl(place.removeprefix(JOINED))
    keys, values = [key for key, _ in pairs], [value for _, value in pairs]
    try:
        if not pairs or keys != ["cache", "weight"] * (len(pairs) // 2):
            raise ValueError
        return [Placed(location, float(weight)) for location, weight in zip(values[::2], values[1::2], strict=True)]
    except ValueError as error:
        raise TaskError(f"{place} given; expected {JOINED}cache=A&weight=0.5&cache=B&weight=0.5") from error


def typed(place: str, name: str, *, auto: bool = False) -> str:
    """The options that name a cache on the command line.

    Args:
        place: where it is, or of joined caches where they are.
        name: what it is called.
        auto: whether weights were chosen, and should be again.
    """
    placed = placed_at(place)
    if not placed:
        return f"--cache {shlex.quote(name)}"
    weights = [f"{each.weight:g}" for each in placed]
    given = "auto" if auto else ",".join(weights) if len(set(weights)) > 1 else ""
    return " ".join(
        [*(f"--cache {shlex.quote(each.name)}" for each in placed), *([f"--weights {given}"] * bool(given))]
    )


def told(joined: Mapping[str, Any]) -> str:
    """What was joined, with its weights, in a line; see `JoinedCache.joined`."""
    parts = [f"{each['cache']} {each['weight']:.3g}{'' if each['text'] else ' (no text)'}" for each in joined["parts"]]
    return f"{' + '.join(parts)}; weights {joined['chosen_by']}"
