"""One image is not waited for without end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from featcache.datasets.readers import in_time as module
from featcache.datasets.readers.in_time import in_time
from featcache.errors import DataError
from featcache.images.headers import why_unreadable
from tests.pictures import tiny_png


@dataclass
class Silent:
    """A server that does not answer for one image."""

    released: threading.Event = field(default_factory=threading.Event)

    def read(self, image_id: str) -> bytes:
        if image_id == "silent":
            self.released.wait(30)
        if image_id == "late":
            raise TimeoutError("the server's own limit")
        if image_id == "none":
            raise FileNotFoundError(2, "No such file", image_id)
        return tiny_png(3)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        yield from np.ones(len(list(ids)), int).tolist()


def test_what_hangs_is_unreadable_and_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Silent()
    assert in_time(reader.read, "a") == tiny_png(3)
    monkeypatch.setattr(module, "LONGEST", 0.1)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"was not read in 0\.1 seconds: the disk or server does not answer"):
        in_time(reader.read, "silent")
    assert time.monotonic() - began < 5
    assert in_time(reader.read, "b") == tiny_png(3)
    reader.released.set()


def test_errors_are_those_of_the_reader() -> None:
    with pytest.raises(FileNotFoundError):
        in_time(Silent().read, "none")
    with pytest.raises(TimeoutError, match="own limit"):
        in_time(Silent().read, "late")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_has_a_thread_of_its_own(tmp_path: Path) -> None:
    in_time(Silent().read, "a")
    child = os.fork()
    if not child:
        try:
            in_time(Silent().read, "a")
            (tmp_path / "read").touch()
        finally:
            os._exit(0)
    deadline = time.monotonic() + 20
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (tmp_path / "read").exists()


def test_headers_are_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 0.1)
    reader = Silent()
    assert "not read in 0.1 seconds" in why_unreadable(reader, "silent")
    reader.released.set()
