from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from featcache.errors import CacheLocked
from featcache.places import lock
from featcache.places.folder import Folder
from featcache.places.lock import Watched, forget_the_dead, writing

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


def test_what_a_killed_writer_said_of_itself_is_removed_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "cache"))
    folder.write_json("writer.json", {"pid": 1, "host": "here", "since": "2026", "token": "a"})
    forget_the_dead(folder)
    assert not folder.exists("writer.json")
    with writing(folder):
        forget_the_dead(folder)
        assert folder.exists("writer.json")


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE", 0.4)


@pytest.mark.usefixtures("short_lease", "in_memory")
def test_behind_a_url_the_owner_file_is_a_lease_that_a_living_writer_renews() -> None:
    folder = Folder("s3://bucket/locked")
    with writing(folder), pytest.raises(CacheLocked, match=r"process \d+ on .* has been writing"), writing(folder):
        pass
    with writing(folder):
        first = folder.read_json("writer.json")
        time.sleep(0.3)
        later = folder.read_json("writer.json")
        assert later["renewed"] > first["renewed"]
        assert later["token"] == first["token"]
    assert not folder.exists("writer.json")


@pytest.mark.parametrize("damaged", ["{}", "[]", '{"pid": 1}'])
def test_a_writer_whose_file_is_damaged_is_a_writer(damaged: str, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "cache"))
    with writing(folder):
        folder.write(lock.OWNER, damaged.encode())
        with pytest.raises(CacheLocked, match="another run is writing the cache"), writing(folder):
            pass


@pytest.mark.usefixtures("short_lease", "in_memory")
def test_a_dead_writer_s_lease_ends_by_itself() -> None:
    folder = Folder("s3://bucket/left")
    folder.write_json("writer.json", {"pid": 1, "host": "elsewhere", "since": "2026", "token": "a", "renewed": 7})
    began, told = time.monotonic(), list[str]()
    with writing(folder, told.append) as held:
        assert time.monotonic() - began >= 0.4
        held.check()
        assert folder.read_json("writer.json")["pid"] == os.getpid()
    (line,) = told
    assert line.startswith("process 1 on elsewhere has been writing the cache s3://bucket/left since 2026; looking for")


@pytest.mark.usefixtures("short_lease", "in_memory")
def test_a_run_that_lost_its_lease_says_so() -> None:
    folder = Folder("s3://bucket/lost")

    def hold() -> None:
        with writing(folder) as held:
            held.check()
            other = {"pid": 1, "host": "elsewhere", "since": "2026", "token": "b", "renewed": 0}
            folder.write_json("writer.json", other)
            time.sleep(0.3)
            held.check()
            raise AssertionError("nothing more may be written")

    with pytest.raises(CacheLocked, match="held up for longer than its lease .* which another run may hold now"):
        hold()
    assert folder.read_json("writer.json")["token"] == "b"


@pytest.mark.usefixtures("short_lease", "in_memory")
def test_a_store_that_does_not_answer_for_a_while_does_not_end_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder("s3://bucket/silent")
    with writing(folder) as held:
        with monkeypatch.context() as silent:
            silent.setattr(Folder, "read_json", lambda self, name: (_ for _ in ()).throw(OSError("no answer")))
            time.sleep(0.25)
        time.sleep(0.2)
        held.check()
        assert folder.read_json("writer.json")["renewed"] >= 1


@pytest.mark.usefixtures("short_lease", "in_memory")
def test_a_store_that_takes_no_renewal_ends_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise OSError("no answer")

    def hold() -> None:
        with writing(Folder("s3://bucket/full")) as held:
            monkeypatch.setattr(Folder, "write_json", silent)
            held.check()
            time.sleep(lock.LEASE * 1.5)
            held.check()
            raise AssertionError("nothing more may be written")

    with pytest.raises(CacheLocked, match="held up for longer than its lease"):
        hold()


@pytest.mark.usefixtures("short_lease", "in_memory")
def test_of_two_that_wait_for_one_dead_lease_one_goes_on() -> None:
    folder = Folder("s3://bucket/two")
    folder.write_json("writer.json", {"pid": 1, "host": "elsewhere", "since": "2026", "token": "a", "renewed": 7})
    inside: list[int] = []

    def wait(number: int) -> None:
        with suppress(CacheLocked), writing(folder):
            inside.append(number)
            time.sleep(1.0)

    threads = [Thread(target=wait, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) == 1


@pytest.mark.usefixtures("short_lease", "in_memory")
def test_who_writes_for_a_run_sees_that_its_lease_is_not_renewed() -> None:
    folder = Folder("s3://bucket/watched")
    with writing(folder) as held:
        watched = Watched(folder, held.token)
        for _ in range(8):  # for longer than a lease, as it is renewed
            watched.check()
            time.sleep(lock.LEASE / 4)
    folder.write_json("writer.json", {"token": "a", "renewed": 3})
    watched = Watched(folder, "a")
    watched.check()
    time.sleep(lock.LEASE * 1.2)
    with pytest.raises(CacheLocked, match="no longer holds the cache"):
        watched.check()
    folder.write_json("writer.json", {"token": "a", "renewed": 4})
    watched.check()
    with pytest.raises(CacheLocked, match="no longer holds the cache"):
        Watched(folder, "b").check()


def test_a_cache_that_was_not_begun_left_no_folder(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "caches" / "a"))
    with pytest.raises(ValueError, match="failed"), writing(folder):
        raise ValueError("failed")
    assert not list(tmp_path.iterdir())
    with writing(folder):
        folder.write_json("manifest.json", {})
    assert folder.exists("manifest.json")
