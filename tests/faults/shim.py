"""File operations of a process below one folder: counted, recorded, refused, or the last thing before a kill.

Operations are those that change a disk: open for writing, write, fsync, rename, exchange, unlink, mkdir, rmdir.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from tests.other_machines import customized

ADDING = ("open", "write", "mkdir")
"""What takes space."""
CHANGING = (*ADDING, "rename", "exchange", "unlink", "rmdir")
"""What a file system refuses that is read-only."""
VARIABLE = "FEATCACHE_TEST_SHIM"


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: What is done.
        path: To what.
        other: The new name, of a rename or an exchange.
        data: What is written.
        offset: Where.
    """

    kind: str
    path: str
    other: str = ""
    data: bytes = b""
    offset: int = 0


@dataclass(frozen=True)
class Fault:
    """What happens to operations below a folder.

    Attributes:
        below: The folder.
        at: The number of the first operation that it happens to, from 1; 0: to none.
        error: What is raised, from then on; 0: the process is killed.
        kinds: Operations that are refused; all are counted.
        count: A file that gets the number of operations.
    """

    below: str
    at: int = 0
    error: int = 0
    kinds: tuple[str, ...] = CHANGING
    count: str = ""


class Shim:
    """Stands before the operations of this process."""

    def __init__(self, fault: Fault) -> None:
        self.fault, self.operations, self._number, self._lock = fault, list[Operation](), 0, RLock()
        self.recording = False
        self._below = fault.below.rstrip("/") + "/"

    def say(self, what: str) -> None:
        """Record that something was acknowledged."""
        with self._lock:
            self.operations.append(Operation("acknowledged", what))

    def _seen(self, path: Any) -> str:
        """The path if it is below the folder, else nothing."""
        if not isinstance(path, str | os.PathLike):
            return ""
        absolute = os.path.abspath(os.fspath(path))
        return absolute if isinstance(absolute, str) and f"{absolute}/".startswith(self._below) else ""

    def do(self, operation: Operation, work: Callable[[], Any]) -> Any:
        """Count an operation, and do it unless something happens."""
        with self._lock:
            self._number += 1
            if self.fault.count:
                _write(self.fault.count, str(self._number))
            if self.fault.at and self._number >= self.fault.at:
                if not self.fault.error:
                    os.kill(os.getpid(), signal.SIGKILL)
                elif operation.kind in self.fault.kinds:
                    raise OSError(self.fault.error, os.strerror(self.fault.error), operation.path)
            done = work()
            if self.recording:
                self.operations.append(operation)
            return done

    @contextmanager
    def standing(self) -> Iterator[Shim]:
        """Stand there for a while."""
        undo = self.stand()
        try:
            yield self
        finally:
            undo()

    def stand(self) -> Callable[[], None]:
        """Stand there; returns what ends it."""
        from featcache.places import turns

        shim, opened = self, io.open
        put: list[tuple[Any, str, Any]] = []

        def instead(module: Any, name: str, other: Any) -> None:
            put.append((module, name, getattr(module, name)))
            setattr(module, name, other)

        class Counted(io.FileIO):
            def write(self, data: Any) -> int:
                path, content = os.path.abspath(str(self.name)), bytes(data)
                operation = Operation("write", path, data=content, offset=self.tell())
                return int(shim.do(operation, lambda: io.FileIO.write(self, content)))

        def open_(file: Any, mode: str = "r", buffering: int = -1, *how: Any, **named: Any) -> Any:
            path = shim._seen(file)
            if not path or "+" in mode or not set(mode) & set("wax"):
                return opened(file, mode, buffering, *how, **named)
            plain = mode.replace("b", "").replace("t", "")
            buffered = io.BufferedWriter(shim.do(Operation("open", path), lambda: Counted(path, plain)))
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *how, **named)

        def one(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def work(path: Any, *args: Any, **named: Any) -> Any:
                where = path
                if named.get("dir_fd") is not None:
                    where = os.path.join(os.readlink(f"/proc/self/fd/{named['dir_fd']}"), path)
                seen = shim._seen(where)
                go: Callable[[], Any] = lambda: call(path, *args, **named)  # noqa: E731
                return shim.do(Operation(kind, seen), go) if seen else go()

            return work

        def two(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def work(path: Any, other: Any, **named: Any) -> Any:
                seen = shim._seen(path)
                go: Callable[[], Any] = lambda: call(path, other, **named)  # noqa: E731
                return shim.do(Operation(kind, seen, os.path.abspath(os.fspath(other))), go) if seen else go()

            return work

        def fsync(handle: int) -> None:
            seen = shim._seen(os.readlink(f"/proc/self/fd/{handle}"))
            go: Callable[[], Any] = lambda: put_fsync(handle)  # noqa: E731
            shim.do(Operation("fsync", seen), go) if seen else go()

        put_fsync = os.fsync
        instead(io, "open", open_)
        instead(builtins, "open", open_)
        instead(os, "fsync", fsync)
        for kind, names in (("unlink", ("unlink", "remove")), ("mkdir", ("mkdir",)), ("rmdir", ("rmdir",))):
            for name in names:
                instead(os, name, one(kind, getattr(os, name)))
        for name in ("rename", "replace"):
            instead(os, name, two("rename", getattr(os, name)))
        instead(turns, "rename_each_other", two("exchange", turns.rename_each_other))

        def undo() -> None:
            for module, name, was in reversed(put):
                setattr(module, name, was)

        return undo


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(handle, text.encode())
    os.close(handle)


def environment(folder: Path, fault: Fault) -> dict[str, str]:
    """Variables of a process of its own that gets this fault."""
    code = "from tests.faults.shim import from_environment\nfrom_environment()\n"
    return {"PYTHONPATH": customized(folder, code), VARIABLE: json.dumps(asdict(fault))}


def from_environment() -> None:
    """Stand before the operations of this process as its environment says."""
    Shim(Fault(**json.loads(os.environ[VARIABLE]))).stand()
