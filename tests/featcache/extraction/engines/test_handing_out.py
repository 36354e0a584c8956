"""Shards go to whoever is free, each is done once, and a lost station's are done by others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any

import pytest

from featcache.cache.plan import Shard
from featcache.errors import CacheLocked, CacheMismatch, DataError
from featcache.extraction.engines.engine import StationLost
from featcache.extraction.engines.handing_out import HandingOut, everywhere
from featcache.extraction.station import Told

SHARDS = [Shard("train", start, start + 10) for start in range(0, 200, 10)]


class Clock:
    """Stations that take turns by their speed; nothing waits."""

    def __init__(self) -> None:
        self.now, self.due = 0.0, list[tuple[float, int, Callable[[], None]]]()
        self.number = count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        self.due.append((when, next(self.number), what))

    def wait(self, futures: Any, return_when: str) -> tuple[set[Future[Any]], set[Future[Any]]]:
        """Instead of `concurrent.futures.wait`: let time go on until one of them is done."""
        while not any(future.done() for future in futures):
            self.due.sort()
            self.now, _, what = self.due.pop(0)
            what()
        return {future for future in futures if future.done()}, set()


class Simulated:
    """A station that needs some seconds for ten rows, of which it tells half-way, and may be lost at some moment."""

    def __init__(self, name: str, clock: Clock, seconds: float, lost_at: float = float("inf")) -> None:
        self.name, self.clock, self.seconds, self.lost_at = name, clock, seconds, lost_at
        self.begun: Shard | None = None
        self.feed: list[Shard] = []
        self.halves, self.done = 0, list[Shard]()
        self.closed = False

    def call(self, method: str, *args: Any) -> Future[Told]:
        answer: Future[Told] = Future()
        self.clock.at(min(self.clock.now + self.seconds / 2, self.lost_at), lambda: self._answer(answer, *args))
        return answer

    def close(self) -> None:
        """What it would still do is not done."""
        self.closed = True

    def _answer(self, answer: Future[Told], more: Sequence[Shard], give_back: bool) -> None:
        if self.clock.now >= self.lost_at:
            answer.set_exception(StationLost(f"{self.name} is lost"))
            return
        self.feed += more
        returned, finished = [], []
        if give_back:
            returned, self.feed = self.feed, []
        self.begun = self.begun or self.feed.pop(0)
        self.halves += 1
        if self.halves % 2 == 0:
            finished = [self.begun]
            self.done.append(self.begun)
            self.begun = None
        answer.set_result(Told(5, 0, finished, returned, not self.feed, {"the encoder": self.clock.now}))


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.rows, self.notes = 0, list[str]()

    def start(self, description: str, total: int) -> None:
        raise AssertionError("the caller starts it")

    def advance(self, rows: int, bad: int, bound: str = "") -> None:
        self.rows += rows

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("featcache.extraction.engines.handing_out.wait", clock.wait)
    return clock


def hand_out(*stations: Simulated) -> tuple[HandingOut, Heard]:
    heard = Heard()
    handing_out = HandingOut(SHARDS, list(stations), heard, lambda: None)
    handing_out.run()
    assert sorted((shard for station in stations for shard in station.done), key=lambda shard: shard.start) == SHARDS
    assert heard.rows == sum(map(len, SHARDS)) == sum(handing_out.rows.values())
    return handing_out, heard


def test_each_gets_as_much_as_it_can_do(clock: Clock) -> None:
    fast, slow = Simulated("fast", clock, 1.0), Simulated("slow", clock, 4.0)
    handing_out, _ = hand_out(fast, slow)
    assert (len(fast.done), len(slow.done)) == (15, 5)
    assert clock.now == 20.0  # five of the slow one: nobody stood still for longer than one of its shards
    assert handing_out.waited == {"the encoder": 35.0}  # what each told last, added


def test_a_slow_one_gives_back_what_it_has_not_begun(clock: Clock) -> None:
    fast, slow = Simulated("fast", clock, 1.0), Simulated("slow", clock, 40.0)
    hand_out(fast, slow)
    assert len(slow.done) == 1
    assert clock.now == 41.0  # the one that it had begun, and what it gave back then


def test_shards_of_a_lost_station_go_to_the_others(clock: Clock) -> None:
    stays, leaves = Simulated("stays", clock, 1.0), Simulated("leaves", clock, 1.0, lost_at=5.2)
    handing_out, heard = hand_out(stays, leaves)
    assert heard.notes == ["leaves is lost; its shards go to the others"]
    assert handing_out.rows["leaves"] == 10 * len(leaves.done) == 50
    assert (leaves.closed, stays.closed) == (True, False)


def test_also_when_the_others_stand_idle(clock: Clock) -> None:
    stays, leaves = Simulated("stays", clock, 0.1), Simulated("leaves", clock, 40.0, lost_at=30.0)
    hand_out(stays, leaves)
    assert leaves.done == []


def test_the_last_one_lost_ends_the_run(clock: Clock) -> None:
    with pytest.raises(StationLost, match="two is lost; it was the last one: what is finished is kept"):
        hand_out(Simulated("one", clock, 1.0, lost_at=2.2), Simulated("two", clock, 1.0, lost_at=4.2))


def test_a_cache_that_is_no_longer_held_ends_the_run(clock: Clock) -> None:
    def held() -> None:
        raise CacheLocked("another run holds it")

    with pytest.raises(CacheLocked, match="another run"):
        HandingOut(SHARDS, [Simulated("one", clock, 1.0)], Heard(), held).run()


class Refusing:
    """A station that refuses."""

    def __init__(self, name: str, error: Exception | None) -> None:
        self.name, self.error = name, error

    def call(self, method: str, *args: Any) -> Future[Any]:
        assert method == "check"
        done: Future[Any] = Future()
        done.set_exception(self.error) if self.error else done.set_result(None)
        return done

    def close(self) -> None:
        """Nothing."""


def test_all_that_cannot_take_part_are_named() -> None:
    there, blind, old = Refusing("a", None), Refusing("b", DataError("no images")), Refusing("c", CacheMismatch("old"))
    everywhere([there], "check")
    with pytest.raises(DataError, match=r"2 of 3 places cannot take part: b: no images; c: old$"):
        everywhere([there, blind, old], "check")
    with pytest.raises(DataError, match="1 of 2 places cannot take part: d: .*photos.zip"):
        everywhere([there, Refusing("d", FileNotFoundError(2, "No such file", "photos.zip"))], "check")
    with pytest.raises(CacheMismatch, match="^old$"):
        everywhere([old], "check")
