"""Handing out shards to stations: each to one at a time, those of a lost station to the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from featcache.cache.plan import Shard
from featcache.encoding.waits import bound_by
from featcache.errors import DataError, FeatcacheError
from featcache.extraction.engines.engine import StationLost, StationThere
from featcache.progress import Reporter

if TYPE_CHECKING:
    from featcache.extraction.station import Told

AT_FIRST = 2
"""Shards that a station is given: one to encode, and one for its decoders to go on with."""


def everywhere(stations: Sequence[StationThere], method: str) -> list[Any]:
    """Call a method of each station, all at once, and wait for what they give.

    Raises:
        FeatcacheError: It failed somewhere; the message names all such stations, where there are several stations.
    """
    given, failed = list[Any](), list[tuple[StationThere, FeatcacheError | OSError]]()
    for station, future in [(station, station.call(method)) for station in stations]:
        try:
            given.append(future.result())
        except (FeatcacheError, OSError) as error:
            failed.append((station, error))
    if failed and len(stations) == 1:
        raise failed[0][1]
    if failed:
        told = "; ".join(f"{station.name}: {error}" for station, error in failed)
        kind = type(failed[0][1]) if isinstance(failed[0][1], FeatcacheError) else DataError
        raise kind(f"{len(failed)} of {len(stations)} places cannot take part: {told}")
    return given


@dataclass
class HandingOut:
    """Shards on their way through stations.

    Args:
        shards: What is to do, in order.
        stations: Where.
        report: Where progress is told.
        held: Raises when the cache is no longer held.

    Attributes:
        rows: Done by each station.
        reused: Of them, taken from other caches.
    """

    shards: Sequence[Shard]
    stations: Sequence[StationThere]
    report: Reporter
    held: Callable[[], None]
    rows: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    _waited: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._left = deque(self.shards)
        self._in_hand: dict[StationThere, list[Shard]] = {station: [] for station in self.stations}
        self._asked: dict[Future[Told], StationThere] = {}
        self._unfinished: Counter[StationThere] = Counter()

    @property
    def waited(self) -> dict[str, float]:
        """Seconds by cause, of all stations together."""
        total: Counter[str] = Counter()
        for seconds in self._waited.values():
            total.update(seconds)
        return dict(total)

    def run(self) -> None:
        """Hand out all shards, and come back when they are written.

        Raises:
            StationLost: The last station is lost.
            FeatcacheError: As `Station.go_on`.
        """
        for station in self.stations:
            self._go_on(station, AT_FIRST)
        while self._asked:
            done, _ = wait(self._asked, return_when=FIRST_COMPLETED)
            self.held()
            for future in done:
                self._heard(self._asked.pop(future), future)

    def _go_on(self, station: StationThere, more: int) -> None:
        """Let a station go on, with so many more shards as far as there are any."""
        given = [self._left.popleft() for _ in range(min(more, len(self._left)))]
        in_hand = self._in_hand[station]
        in_hand += given
        if in_hand:
            idle = not self._left and any(not shards for shards in self._in_hand.values())
            self._asked[station.call("go_on", given, idle and len(in_hand) > 1)] = station

    def _heard(self, station: StationThere, future: Future[Any]) -> None:
        try:
            told: Told = future.result()
        except StationLost as error:
            station.close()  # one that is only out of reach must not write what others are given
            self._left.extendleft(reversed(self._in_hand.pop(station)))
            if not self._in_hand:
                message = f"{error}; it was the last one: what is finished is kept, type the same command again"
                raise StationLost(message) from error
            self.report.note(f"{error}; its shards go to the others")
            self._count(station, -self._unfinished.pop(station, 0), 0)
        else:
            self._unfinished[station] += told.rows - sum(map(len, told.finished))
            self._waited[station.name] = told.waited
            self.reused += told.reused
            self._count(station, told.rows, told.bad)
            self._in_hand[station] = [
                shard for shard in self._in_hand[station] if shard not in (*told.finished, *told.returned)
            ]
            self._left.extend(told.returned)
        for idle in [idle for idle, shards in self._in_hand.items() if not shards]:
            self._go_on(idle, 1)
        if station in self._in_hand and station not in self._asked.values():
            self._go_on(station, 1 if told.wants else 0)

    def _count(self, station: StationThere, rows: int, bad: int) -> None:
        self.rows[station.name] += rows
        self.report.advance(rows, bad, bound_by(self.waited))
