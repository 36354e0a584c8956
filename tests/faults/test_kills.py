"""Killed at any moment and typed again, a command gives what it gives undisturbed, and nothing else is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from featcache.errors import DataError
from featcache.extraction.engines.handing_out import HandingOut
from tests import processes
from tests.faults.commands import Commands
from tests.faults.conftest import Faults
from tests.faults.shim import Fault, environment
from tests.faults.work import SAVING, Work, extract


def operations(commands: Commands, work: Work, name: str, folder: Path) -> int:
    """How many file operations a command makes."""
    count = folder / "count"
    commands.run(*work.words(name), fault=Fault(str(work.root), count=str(count)))
    return int(count.read_text())


def some(faults: Faults, short: int, long: int) -> int:
    return long if faults.long else short


def before(work: Work, calm: Work, name: str) -> Work:
    """A root as it is when the command is typed: with the cache, unless that is made; a prompt set is replaced."""
    if name != "extract":
        shutil.copytree(calm.root / "caches", work.root / "caches")
    return work


@pytest.mark.parametrize("name", SAVING)
def test_killed_between_any_two_operations(
    name: str, commands: Commands, calm: Work, photos: Path, tmp_path: Path, faults: Faults
) -> None:
    counted = before(Work(tmp_path / "counted", photos), calm, name)
    if not faults.long and name != "extract":
        pytest.skip("the others need minutes: give --long")
    total = operations(commands, counted, name, tmp_path)
    expected = counted.content()
    kills, cases = 0, 0
    numbers = [faults.rng.randint(1, total) for _ in range(some(faults, 3, 60 if name == "extract" else 15))]
    while numbers:
        work = before(Work(tmp_path / f"root-{cases}", photos), calm, name)
        for _ in range(min(len(numbers), faults.rng.randint(1, 3))):
            number = numbers.pop()
            ended = commands.run(*work.words(name), fault=Fault(str(work.root), at=number), status=None)
            # One that goes on where another was killed may be done before it comes to that number.
            assert ended.status in (-signal.SIGKILL, 0), (number, ended)
            kills += ended.status != 0
        commands.run(*work.words(name))
        assert work.content() == expected
        assert work.left_behind() == []
        shutil.rmtree(work.root)
        cases += 1
    assert kills
    faults.tell(f"{kills} SIGKILLs before one of {total} file operations of {name}, {cases} resumed")


def test_killed_at_any_moment(commands: Commands, calm: Work, photos: Path, tmp_path: Path, faults: Faults) -> None:
    undisturbed, began = Work(tmp_path / "undisturbed", photos), time.monotonic()
    commands.run(*undisturbed.words("extract", workers=2))
    duration, kills, cases = time.monotonic() - began, Counter[str](), 0
    wanted = some(faults, 3, 90)
    targets = ["the group", "the parent", "a worker"]
    while kills.total() < wanted:
        work = Work(tmp_path / f"root-{cases}", photos)
        for _ in range(faults.rng.randint(1, 3)):
            target = targets[kills.total() % 3]
            running = commands.start(*work.words("extract", workers=2))
            time.sleep(faults.rng.uniform(0, duration))
            if target == "a worker":
                workers = list(processes.children(running.pid))
                if workers:
                    os.kill(faults.rng.choice(workers), signal.SIGKILL)
            else:
                running.kill(group=target == "the group")
            ended = running.wait()
            assert ended.status in (-signal.SIGKILL, 0, 2), ended
            if ended.status == 2:
                assert ended.err.splitlines()[-1].startswith("error: a decoding process was killed"), ended
            kills[target] += 1
            assert running.alone() == []
        commands.run(*work.words("extract", workers=2))
        assert work.content() == undisturbed.content()
        assert work.left_behind() == []
        shutil.rmtree(work.root)
        cases += 1
    told = ", ".join(f"{number} of {target}" for target, number in kills.items())
    faults.tell(f"{kills.total()} SIGKILLs of extract at random moments ({told}), {cases} resumed")


def test_real_commands_killed_between_operations(
    commands: Commands, calm: Work, photos: Path, tmp_path: Path, faults: Faults
) -> None:
    """The same as people type it, in processes that import everything first; a batch is no shard of its own there."""
    wanted, kills = some(faults, 1, 10), 0
    numbers = list(range(1, 90))
    for case in range(wanted):
        work = Work(tmp_path / f"root-{case}", photos)
        fault = Fault(str(work.root), at=faults.rng.choice(numbers))
        words = work.words("extract", workers=2)
        program = [*processes.program("featcache"), *words]
        variables = os.environ | environment(tmp_path / "shim", fault)
        killed = subprocess.run(program, env=variables, capture_output=True, text=True, timeout=120)
        kills += killed.returncode == -signal.SIGKILL
        assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr
        commands.run(*words)
        content = work.content()
        assert content == calm_of(calm, content)
        assert work.left_behind() == []
    assert kills
    faults.tell(f"{kills} SIGKILLs of real commands, {wanted} resumed")


def test_torch_tells_of_a_killed_worker_wherever_the_main_thread_is(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(self: HandingOut) -> None:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    monkeypatch.setattr(HandingOut, "run", told)
    with pytest.raises(DataError, match="a decoding process was killed, .*type --workers 1 or 0"):
        extract(photos, tmp_path)


def calm_of(calm: Work, content: dict[str, object]) -> dict[str, object]:
    """The calm root's cache, as far as another one goes."""
    return {key: value for key, value in calm.content().items() if key in content}
