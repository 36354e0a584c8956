from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featcache.errors import CacheLocked
from featcache.places import lock
from featcache.places.folder import Folder
from featcache.places.lock import writing

HOLD = """
import sys, time
from featcache.places.lock import writing
from featcache.places.folder import Folder
with writing(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_writer_refuses_and_names_the_first(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "cache"))
    holder = subprocess.Popen([sys.executable, "-c", HOLD, folder.location], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CacheLocked, match=f"process {holder.pid} on "), writing(folder):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with writing(folder):  # the system dropped the lock of the killed process
        assert folder.read_json("writer.json")["pid"] == os.getpid()
    assert not folder.exists("writer.json")


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE", 0.4)


@pytest.mark.usefixtures("short_lease")
def test_behind_a_url_the_owner_file_is_a_lease_that_a_living_writer_renews() -> None:
    folder = Folder("memory://locked/cache")
    with writing(folder), pytest.raises(CacheLocked, match=r"process \d+ on .* has been writing"), writing(folder):
        pass
    with writing(folder):
        first = folder.read_json("writer.json")
        time.sleep(0.3)
        later = folder.read_json("writer.json")
        assert later["renewed"] > first["renewed"]
        assert later["token"] == first["token"]
    assert not folder.exists("writer.json")


@pytest.mark.usefixtures("short_lease")
def test_a_dead_writer_s_lease_ends_by_itself() -> None:
    folder = Folder("memory://left/cache")
    folder.write_json("writer.json", {"pid": 1, "host": "elsewhere", "since": "2026", "token": "a", "renewed": 7})
    began = time.monotonic()
    with writing(folder):
        assert time.monotonic() - began >= 0.4
        assert folder.read_json("writer.json")["pid"] == os.getpid()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = {"pid": gone.pid, "host": socket.gethostname(), "since": "2026", "token": "a", "renewed": 7}
    folder.write_json("writer.json", mine)
    began = time.monotonic()
    with writing(folder):  # of this machine one knows at once
        assert time.monotonic() - began < 0.4


@pytest.mark.usefixtures("short_lease")
def test_a_run_that_lost_its_lease_says_so() -> None:
    folder = Folder("memory://lost/cache")

    def hold() -> None:
        with writing(folder):
            other = {"pid": 1, "host": "elsewhere", "since": "2026", "token": "b", "renewed": 0}
            folder.write_json("writer.json", other)
            time.sleep(0.3)

    with pytest.raises(CacheLocked, match="process 1 on elsewhere .* held up for longer than its lease"):
        hold()
    assert folder.read_json("writer.json")["token"] == "b"
