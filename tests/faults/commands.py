"""Commands as processes that begin at once: forked from one that has imported what they need.

Each is the leader of a session of its own, so that all that it starts can be found, and runs the command line to its
end as any other process does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.shim import Fault, Shim
from tests.processes import ENTRIES

WAIT = 120.0
"""Seconds that a command may take."""
WATCHED = 15.0
"""Seconds in which what a killed command had started must have ended by itself."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, or the negative number of a signal; what it printed."""

    status: int
    out: str
    err: str


class Running:
    """A command that runs."""

    def __init__(self, commands: Commands, pid: int, files: Path) -> None:
        self.pid, self._commands, self._files = pid, commands, files

    def kill(self, sent: int = signal.SIGKILL, *, group: bool = False) -> None:
        """Send a signal to it, or to all that it has started too."""
        with suppress(ProcessLookupError):  # not a session yet, or ended
            (os.killpg if group else os.kill)(self.pid, sent)

    def wait(self) -> Ended:
        """Wait for its end."""
        status = self._commands.ask({"wait": self.pid})
        out, err = (self._files.with_suffix(suffix).read_text() for suffix in (".out", ".err"))
        return Ended(status, out, err)

    def alone(self) -> list[str]:
        """What it had started and is still there, after a while."""
        end = time.monotonic() + WATCHED
        while (left := _session(self.pid)) and time.monotonic() < end:
            time.sleep(0.05)
        return left


class Commands:
    """Starts commands."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.commands"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},  # as the command lines say before they import torch
        )

    def ask(self, asked: dict[str, Any]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def start(self, *words: str, fault: Fault | None = None) -> Running:
        """Start a command."""
        self._number += 1
        files = self._folder / f"command-{self._number}"
        asked = {"words": words, "files": str(files), "fault": fault and asdict(fault)}
        return Running(self, self.ask(asked), files)

    def run(self, *words: str, fault: Fault | None = None, status: int | None = 0) -> Ended:
        """Run a command to its end."""
        ended = self.start(*words, fault=fault).wait()
        assert status is None or ended.status == status, (words, ended)
        return ended

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(WAIT)  # a busy machine takes its time
        assert self._server.stdout is not None
        self._server.stdout.close()


@contextmanager
def forked_commands(folder: Path) -> Iterator[Commands]:
    """What starts commands, while it is needed."""
    commands = Commands(folder)
    try:
        yield commands
    finally:
        commands.close()


def _session(leader: int) -> list[str]:
    """The living processes of a session."""
    listed = subprocess.run(["ps", "-s", str(leader), "-ww", "-o", "stat=,args="], capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if not line.startswith("Z")]


def _ended(pid: int) -> int:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -999  # it hung


def _become(words: list[str], files: str, fault: dict[str, Any] | None) -> None:
    """Be a command from now on, until the exit."""
    import cli
    from featcache.cache import plan

    os.setsid()
    for suffix, number in ((".out", 1), (".err", 2)):
        handle = os.open(files + suffix, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    plan.SECONDS_PER_SHARD = 1e-9  # one batch a shard: much to be stopped at
    if fault:
        Shim(Fault(**fault)).stand()
    sys.argv = words
    getattr(cli, ENTRIES[words[0]])()


def serve() -> None:
    """Fork commands and wait for them, as the lines of standard input ask."""
    import featcache.encoders.encoder
    import featcache.extraction.extract
    import featcache.verification.verify  # noqa: F401

    while line := sys.stdin.readline():
        asked = json.loads(line)
        if "wait" in asked:
            print(_ended(asked["wait"]), flush=True)
        elif pid := os.fork():
            print(pid, flush=True)
        else:
            _become(asked["words"], asked["files"], asked["fault"])


if __name__ == "__main__":
    serve()
