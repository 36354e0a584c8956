"""A disk that forgets with its power what nobody waited for.

Kept for certain is a file's content when it was last synchronised, and a folder's names when that was. Of what happened
since, any part may be there: each change of names may be kept or lost, whatever came before or after it; a file may
hold what it did before, zeros, a part of it, or all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.shim import Operation


@dataclass(eq=False)
class File:
    """Content as processes see it, and as it is on the disk for certain."""

    content: bytearray = field(default_factory=bytearray)
    kept: bytes = b""


@dataclass(eq=False)
class Change:
    """What happens to names at once: (folder, name, what it names from then on, or None)."""

    parts: list[tuple[Directory, str, File | Directory | None]]
    done: bool = False


@dataclass(eq=False)
class Directory:
    """Names as processes see them, those kept for certain, and changes since."""

    names: dict[str, File | Directory] = field(default_factory=dict)
    kept: dict[str, File | Directory] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


class PowerLoss:
    """A folder that was empty, and operations on it.

    Args:
        below: The folder.
        operations: In order.
    """

    def __init__(self, below: Path, operations: Sequence[Operation]) -> None:
        self._below, self.root = below, Directory()
        self.acknowledged: list[str] = []
        for operation in operations:
            getattr(self, f"_{operation.kind}")(operation)

    def _place(self, path: str) -> tuple[Directory, str]:
        *folders, name = Path(path).relative_to(self._below).parts
        where = self.root
        for folder in folders:
            found = where.names[folder]
            assert isinstance(found, Directory)
            where = found
        return where, name

    def _node(self, path: str) -> File | Directory:
        if Path(path) == self._below:
            return self.root
        where, name = self._place(path)
        return where.names[name]

    def _change(self, *parts: tuple[Directory, str, File | Directory | None]) -> None:
        change = Change(list(parts))
        for where, name, node in parts:
            if node is None:
                where.names.pop(name)
            else:
                where.names[name] = node
        for where in {id(where): where for where, _, _ in parts}.values():
            where.changes.append(change)

    def _acknowledged(self, operation: Operation) -> None:
        self.acknowledged.append(operation.path)

    def _open(self, operation: Operation) -> None:
        where, name = self._place(operation.path)
        there = where.names.get(name)
        if isinstance(there, File):
            there.content.clear()
        else:
            self._change((where, name, File()))

    def _write(self, operation: Operation) -> None:
        file = self._node(operation.path)
        assert isinstance(file, File)
        file.content[operation.offset : operation.offset + len(operation.data)] = operation.data

    def _fsync(self, operation: Operation) -> None:
        node = self._node(operation.path)
        if isinstance(node, File):
            node.kept = bytes(node.content)
            return
        node.kept, done, node.changes = dict(node.names), node.changes, []
        for change in done:
            change.done = True

    def _rename(self, operation: Operation) -> None:
        (where, name), (there, other) = self._place(operation.path), self._place(operation.other)
        self._change((there, other, where.names[name]), (where, name, None))

    def _exchange(self, operation: Operation) -> None:
        (where, name), (there, other) = self._place(operation.path), self._place(operation.other)
        self._change((there, other, where.names[name]), (where, name, there.names[other]))

    def _mkdir(self, operation: Operation) -> None:
        where, name = self._place(operation.path)
        self._change((where, name, Directory()))

    def _unlink(self, operation: Operation) -> None:
        where, name = self._place(operation.path)
        self._change((where, name, None))

    _rmdir = _unlink

    def rebuild(self, target: Path, rng: random.Random) -> None:
        """Make what may be there when the power is back; `target` is made."""
        likely = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        kept: dict[int, bool] = {}
        self._rebuild(self.root, target, rng, likely, kept)

    def _rebuild(
        self, where: Directory, target: Path, rng: random.Random, likely: float, kept: dict[int, bool]
    ) -> None:
        target.mkdir()
        names = dict(where.kept)
        for change in where.changes:
            if change.done or kept.setdefault(id(change), rng.random() < likely):
                for folder, name, node in change.parts:
                    if folder is where and node is None:
                        names.pop(name, None)
                    elif folder is where and node is not None:
                        names[name] = node
        for name, node in names.items():
            if isinstance(node, Directory):
                self._rebuild(node, target / name, rng, likely, kept)
            else:
                (target / name).write_bytes(_content(node, rng))


def _content(file: File, rng: random.Random) -> bytes:
    content = bytes(file.content)
    if content == file.kept:
        return content
    part = content[: rng.randrange(len(content) + 1)]
    return rng.choice([file.kept, b"", bytes(len(content)), part, content])
