"""What a protocol is: on which classes and rows heads are fitted and tested, and how the numbers are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.bench.protocols.columns import Column
from adapters.bench.protocols.learning import Entrant, Part
from adapters.bench.protocols.settings import Settings
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from featcache.cache.reading import Cache

Examine = Callable[[Entrant, Task, int, Sequence["Cache"]], list[Part]]
"""Fits a recipe on a cell's task with its seed and scores it, also on the caches that are only tested on."""


def every_cache(caches: Sequence[Cache]) -> tuple[list[Cache], list[Cache]]:
    """Shots come from every cache, and none is only tested on."""
    return list(caches), []


def no_options(settings: Settings, caches: int) -> None:
    """Refuse options that the protocol does not have.

    Raises:
        AdapterError: names them.
    """
    settings.refuse_tasks()


@dataclass(frozen=True)
class Protocol:
    """A protocol.

    Attributes:
        name: on the command line.
        meaning: what is fitted on what, and tested on what.
        examine: computes a cell.
        columns: of its table, the one that sums it up first; from the parts of a cell, in order.
        check: refuses options that do not go together, given the settings and the number of caches.
        divide: which caches give shots, and which are only tested on.
        identity: options of its own that can change a number, as JSON-able values.
        about: what must be said about the columns; may be empty.
    """

    name: str
    meaning: str
    examine: Examine
    columns: Callable[[Sequence[str]], list[Column]]
    check: Callable[[Settings, int], None] = no_options
    divide: Callable[[Sequence[Cache]], tuple[list[Cache], list[Cache]]] = every_cache
    identity: Callable[[Settings], dict[str, Any]] = lambda settings: {}
    about: Callable[[Settings], str] = lambda settings: ""
