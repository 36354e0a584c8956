"""What an engine is given, a brief, and what it gives: stations, here or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from featcache.errors import FeatcacheError

if TYPE_CHECKING:
    from featcache.datasets.dataset import Dataset
    from featcache.extraction.request import Request
    from featcache.places.folder import Folder


@dataclass(frozen=True)
class Brief:
    """All that a station needs to know; it may be sent to another process or machine.

    Attributes:
        request: What was asked for.
        dataset: The data set that was asked for.
        folder: The cache's.
        token: Of the run that holds the cache.
        versions: Of the libraries that could change an embedding, where the command was typed.
    """

    request: Request
    dataset: Dataset
    folder: Folder
    token: str
    versions: Mapping[str, str]


class StationLost(FeatcacheError):  # noqa: N818 - as it is said
    """A station has ended before its time; the message says which and why."""


class StationThere(Protocol):
    """A `featcache.extraction.station.Station` somewhere.

    Attributes:
        name: As messages call it, such as `cuda:1`.
    """

    name: str

    def call(self, method: str, *args: Any) -> Future[Any]:
        """Begin a method of the station, which does one thing at a time.

        The future's errors are those of the method, or `StationLost`.
        """
        ...

    def close(self) -> None:
        """End it, whatever it does, and come back when it has ended; a second time nothing happens."""
        ...


class Engine(Protocol):
    """Where stations run; the first line of its docstring says where.

    An engine decides nothing about rows, batches or bits: any engine gives the same numbers.
    """

    def stations(self, brief: Brief) -> AbstractContextManager[list[StationThere]]:
        """Stations that have not loaded anything yet; they end with the context, however it ends.

        Raises:
            FeatcacheError: There can be none.
        """
        ...
