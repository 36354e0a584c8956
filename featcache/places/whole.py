"""Writing a file whole or not at all, and so that it outlives a loss of power."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"
"""How the names of files end that are not whole yet."""


def write_whole(path: Path, content: bytes | bytearray | memoryview) -> None:
    """Write a file under another name and move it into place: a reader sees all of it or what was there before.

    When this returns, the file is on the disk and under its name there.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    settle(path.parent)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside this one, to write a file or folder of any size to; it takes this one's place at the end.

    Raises:
        OSError: It cannot be written; nothing is left behind, and what was there stays.
    """
    fresh, old = (path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}") for _ in range(2))
    try:
        yield fresh
        for written in (*fresh.rglob("*"), fresh):
            settle(written)
        if path.is_dir() or (path.exists() and fresh.is_dir()):
            path.rename(old)
        fresh.replace(path)
        settle(path.parent)
    finally:
        for leftover in (fresh, old):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there; new names are on the disk when this returns."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    settle(folder.parent)


def settle(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    A system that forgets them with its power may else keep a later change and lose an earlier one.
    """
    if sys.platform == "win32":  # which opens no folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network folders have no such promise to give
            raise
    finally:
        os.close(handle)


def remove_partial_files(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; for who holds it, since living ones lose theirs too."""
    for leftover in folder.glob(f".*{PARTIAL}"):
        leftover.unlink(missing_ok=True)
