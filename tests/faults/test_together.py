"""Two to four processes at once on one cache, run folder, bench and search; a reader never sees a half state."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event, Thread

import pytest

import adapters
import featcache
from adapters.errors import RunError
from featcache.errors import CacheIncomplete, CacheNotFound
from tests.faults.commands import Commands
from tests.faults.conftest import Faults
from tests.faults.work import Work, content_of

REFUSED = {
    "extract": "has been writing the cache",
    "text": "has been writing the cache",
    "bench": "another bench is writing",
}
"""What those are told that come second; others wait for their turn."""


class Reader:
    """Reads all that is there again and again, while others write."""

    def __init__(self, work: Work) -> None:
        self._work, self._stop, self.seen, self.half = work, Event(), 0, list[str]()
        self._thread = Thread(target=self._read, name="reader")

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stop.wait(0.01):
            try:
                cache = featcache.open("c", self._work.root)
                first = content_of(cache, written=True)
                assert first["train/images"]
                self.seen += 1
            except (CacheNotFound, CacheIncomplete) as error:
                if "damaged" in str(error):
                    self.half.append(str(error))
            except Exception as error:
                self.half.append(f"{type(error).__name__}: {error}")
            try:
                if Path(self._work.run).exists():
                    adapters.load(self._work.run)
                    self.seen += 1
            except RunError as error:
                self.half.append(str(error))


@pytest.mark.parametrize("name", ["extract", "text", "fit", "search", "bench"])
def test_at_once(name: str, commands: Commands, calm: Work, photos: Path, tmp_path: Path, faults: Faults) -> None:
    if not faults.long and name != "text":
        pytest.skip("the others need minutes: give --long")
    work = Work(tmp_path / "root", photos)
    if name != "extract":
        shutil.copytree(calm.root / "caches", work.root / "caches")
    ran = 0
    with Reader(work) as reader:
        for _ in range(5 if faults.long else 1):
            running = [commands.start(*work.words(name)) for _ in range(faults.rng.randint(2, 4))]
            ended = [each.wait() for each in running]
            assert any(each.status == 0 for each in ended), ended
            for each in ended:
                if each.status != 0:
                    assert name in REFUSED, each
                    assert (each.status, each.err.count("\n")) == (2, 1), each
                    assert REFUSED[name] in each.err or "another run is writing the cache" in each.err
            ran += len(running)
    assert reader.half == []
    commands.run(*work.words(name))
    content, expected = (content_of(featcache.open("c", root)) for root in (work.root, calm.root))
    if name == "extract":
        del expected["text mine"]
    assert content == expected
    assert work.left_behind() == []
    faults.tell(f"{ran} processes of {name} two to four at once, {reader.seen} readings meanwhile")
