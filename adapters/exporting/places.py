"""What a run's records say of places on the machine that made them, cut to names: the records are to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

Fields = Sequence[tuple[str, ...]]
"""Keys of a record, those of objects in it behind one another."""

OF_CONFIG: Fields = (
    ("encoder", "architecture"),
    ("encoder", "pretrained"),
    ("params", "meta"),
    ("labels", "file"),
    ("added", "classes"),
)
OF_METRICS: Fields = (
    ("run",),
    ("cache",),
    ("model",),
    ("pretrained",),
    ("labels", "file"),
    ("hyperparameters", "meta"),
    ("asked", "options", "meta"),
    ("added", "classes"),
)
"""Where places may stand. Not everything that looks like one is one: a class may be called `/m/0dzct`."""


def without_places(record: Mapping[str, Any], fields: Fields) -> tuple[dict[str, Any], dict[str, str]]:
    """A record of whose places in these fields the last names are left, and what was cut to what."""
    left, cut = deepcopy(dict(record)), dict[str, str]()
    for *above, last in fields:
        part: Any = left
        for key in above:
            part = (part or {}).get(key)
        if isinstance(part, dict) and last in part:
            part[last] = _cut(part[last], cut)
    return left, cut


def _cut(value: Any, cut: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _cut(each, cut) for key, each in value.items()}
    if isinstance(value, list):
        return [_cut(each, cut) for each in value]
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    cut[value] = Path(value).name
    return cut[value]
