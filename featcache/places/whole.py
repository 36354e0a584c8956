"""Writing a file whole or not at all, and so that it outlives a loss of power."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
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
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes | bytearray | memoryview]) -> None:
    """Write files of one folder, each as `write_whole` does; none takes its place before all are on the disk.

    They are moved one after the other, so that a reader may come between two of them, but no full disk does.

    Raises:
        OSError: one cannot be written; nothing is left behind.
    """
    temporary = {path: path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}") for path in contents}
    try:
        for path, content in contents.items():
            with temporary[path].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, written in temporary.items():
            written.replace(path)
    except BaseException:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in contents}:
        settle(folder)


def check_writable(file: Path) -> None:
    """Refuse, before the work, a file that could not be written after it; folders above it need not be there yet.

    Raises:
        OSError: it is a folder, or it or the folder that it would be in may not be written; names which.
    """
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder, expected a file", str(file))
    if file.exists():
        with file.open("ab"):
            return
    above = next(folder for folder in file.absolute().parents if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, expected a folder", str(above))
    try:
        with tempfile.TemporaryFile(dir=above):  # permissions say nothing to root, nor of a disk that is full
            return
    except OSError as error:
        raise type(error)(error.errno, f"nothing can be written there ({error.strerror})", str(file)) from None


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
