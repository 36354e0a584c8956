"""Ctrl-C and SIGTERM end every long command in one line, with status 130 or 143, and the same command goes on."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.faults.commands import Commands
from tests.faults.conftest import Faults
from tests.faults.work import READING, SAVING, Work

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def fitted(commands: Commands, calm: Work, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    work = Work(tmp_path_factory.mktemp("fitted"), photos)
    shutil.copytree(calm.root / "caches", work.root / "caches")
    commands.run(*work.words("fit"))
    return work


@pytest.mark.parametrize("name", [*SAVING, *READING])
def test_interrupted(name: str, commands: Commands, fitted: Work, photos: Path, tmp_path: Path, faults: Faults) -> None:
    if not faults.long and name != "extract":
        pytest.skip("the others need minutes: give --long")
    work = Work(tmp_path / "root", photos)
    began = time.monotonic()
    if name == "extract":
        commands.run(*Work(tmp_path / "timed", photos).words(name, workers=2))
    else:
        for folder in ("caches", "run"):
            shutil.copytree(fitted.root / folder, work.root / folder)
        commands.run(*work.words(name))
        for folder in ("search", "bench"):
            shutil.rmtree(work.root / folder, ignore_errors=True)
    duration, interrupted = time.monotonic() - began, 0
    for number in range(10 if faults.long else 2):
        sent = (signal.SIGINT, signal.SIGTERM)[number % 2]
        running = commands.start(*work.words(name, workers=2))
        # A terminal sends Ctrl-C to all that a command has started; before its first line nobody listens.
        time.sleep(0.1 + faults.rng.uniform(0, duration))
        running.kill(sent, group=sent == signal.SIGINT or faults.rng.random() < 0.5)
        ended = running.wait()
        assert ended.status in (0, STATUS[sent]), ended
        if ended.status:
            assert ended.err.splitlines()[-1].startswith("interrupted"), ended
            assert sum(line.startswith("interrupted") for line in ended.err.splitlines()) == 1
            assert "Traceback" not in ended.err
            interrupted += 1
        assert running.alone() == []
        if name == "extract" and ended.status == 0:
            shutil.rmtree(work.root / "caches")
    commands.run(*work.words(name))
    assert work.left_behind() == []
    if name == "extract":
        assert work.content() == Work(tmp_path / "timed", photos).content()
    faults.tell(f"{interrupted} interruptions of {name}")
