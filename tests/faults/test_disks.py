"""Disks that are full, over quota, read-only, closed to us, or gone midway: one line, nothing half, and it goes on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.commands import Commands, Ended
from tests.faults.conftest import Faults
from tests.faults.shim import ADDING, CHANGING, Fault
from tests.faults.test_kills import before, operations
from tests.faults.work import SAVING, Work

REFUSALS = {
    "full": (errno.ENOSPC, ADDING),
    "quota": (errno.EDQUOT, ADDING),
    "read-only": (errno.EROFS, CHANGING),
    "closed": (errno.EACCES, CHANGING),
}


def told_in_a_line(ended: Ended) -> None:
    assert ended.status == 2, ended
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended
    assert "Traceback" not in ended.err, ended


@pytest.mark.parametrize("name", SAVING)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_from_some_operation_on(
    name: str, refusal: str, commands: Commands, calm: Work, photos: Path, tmp_path: Path, faults: Faults
) -> None:
    if not faults.long and (name, refusal) != ("extract", "full"):
        pytest.skip("the others need minutes: give --long")
    counted = before(Work(tmp_path / "counted", photos), calm, name)
    total, expected = operations(commands, counted, name, tmp_path), counted.content()
    error, kinds = REFUSALS[refusal]
    times = 5 if faults.long else 1
    for _ in range(times):
        work = before(Work(tmp_path / "root", photos), calm, name)
        # The last operations of all may be ones that this refusal lets pass.
        number = faults.rng.randint(1, max(1, total - 12))
        fault = Fault(str(work.root), at=number, error=error, kinds=kinds)
        told_in_a_line(commands.run(*work.words(name), fault=fault, status=None))
        commands.run(*work.words(name))
        assert work.content() == expected, number
        assert work.left_behind() == []
        shutil.rmtree(work.root)
    faults.tell(f"{times} times {refusal} during {name}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    how = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(how, capture_output=True).returncode != 0:
        pytest.skip("may not mount a file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", SAVING)
def test_a_disk_that_is_full(
    name: str, commands: Commands, calm: Work, photos: Path, tmp_path: Path, small_disk: Path, faults: Faults
) -> None:
    if not faults.long and name != "text":
        pytest.skip("the others need minutes: give --long")
    counted = before(Work(tmp_path / "counted", photos), calm, name)
    commands.run(*counted.words(name))
    work, refused = before(Work(small_disk, photos), calm, name), 0
    filler = small_disk / "filler"
    for _ in range(5 if faults.long else 1):
        space = os.statvfs(small_disk)
        left = faults.rng.randint(0, 3)
        filler.write_bytes(bytes(max(0, space.f_bavail - left) * space.f_bsize))
        ended = commands.run(*work.words(name), status=None)
        filler.unlink()
        if ended.status:
            told_in_a_line(ended)
            refused += 1
    commands.run(*work.words(name))
    assert work.content() == counted.content()
    assert work.left_behind() == []
    assert refused
    faults.tell(f"{refused} times a full tmpfs during {name}")


@pytest.mark.long
def test_a_folder_removed_midway(commands: Commands, calm: Work, photos: Path, tmp_path: Path, faults: Faults) -> None:
    times = 10
    for _ in range(times):
        work = Work(tmp_path / "root", photos)
        running = commands.start(*work.words("extract"))
        shards = faults.rng.randint(1, 10)
        while (
            len(list(work.root.glob("caches/c/*/state/c/*"))) < shards
            and not (work.root / "caches/c/complete.json").exists()
        ):
            pass
        os.rename(work.root / "caches" / "c", tmp_path / "gone")
        ended = running.wait()
        if ended.status:
            told_in_a_line(ended)
        shutil.rmtree(work.root / "caches", ignore_errors=True)
        commands.run(*work.words("extract"))
        assert work.left_behind() == []
        expected = calm.content()
        assert all(expected[key] == value for key, value in work.content().items())
        shutil.rmtree(work.root)
        shutil.rmtree(tmp_path / "gone")
    faults.tell(f"{times} times the cache's folder removed during extract")
