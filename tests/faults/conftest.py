"""What tests of faults share: a seed, commands that begin at once, and what they give when nothing happens."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.commands import Commands, forked_commands
from tests.faults.work import Work
from tests.pictures import draw_class_folders

LINES = pytest.StashKey[list[str]]()


class Faults:
    """The random faults of one test.

    Attributes:
        seed: From which the same are drawn again.
        rng: Draws them; each test its own.
        long: Whether there is time for many.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        config, self._name = request.config, request.node.name
        self.long = bool(config.getoption("--long"))
        given = config.getoption("--fault-seed")
        self.seed = given if given is not None else random.SystemRandom().randrange(10**6) if self.long else 0
        self.rng = random.Random(self.seed + zlib.crc32(self._name.encode()))
        self._lines, self._began = config.stash.setdefault(LINES, []), time.monotonic()
        print(f"--fault-seed {self.seed}")

    def tell(self, what: str) -> None:
        """Say at the end of the run what was done."""
        minutes = (time.monotonic() - self._began) / 60
        self._lines.append(f"{self._name}: {what}; --fault-seed {self.seed}; {minutes:.1f} minutes")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    return Faults(request)


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with forked_commands(tmp_path_factory.mktemp("commands")) as started:
        yield started


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in class folders, one of them broken."""
    folder = draw_class_folders(tmp_path_factory.mktemp("data") / "photos", classes=3, per_class=20)
    (folder / "class_1" / "broken.png").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="session")
def calm(commands: Commands, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A cache with two prompt sets, undisturbed."""
    work = Work(tmp_path_factory.mktemp("calm"), photos)
    for name in ("extract", "text"):
        commands.run(*work.words(name))
    return work
