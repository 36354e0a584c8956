"""Folders that processes change in turns, and that change in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE, _EXCHANGE = -100, 2
"""`AT_FDCWD` and `RENAME_EXCHANGE` of Linux."""


@contextmanager
def held(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Wait until no other process holds this folder, and hold it.

    The system holds it, so nothing is left behind, and drops it when the process dies, however it dies. Where the
    folder's system has no such locks, as some network folders, nobody waits.

    Args:
        folder: Which.
        wait: Whether to wait.

    Raises:
        BlockingIOError: Another process holds it, and nobody is to wait.
    """
    if sys.platform == "win32":  # which opens no folders
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # no such locks here
            pass
        yield
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders take each other's name in one step.

    Returns:
        Whether this system can; else nothing has changed.

    Raises:
        OSError: It can, and one of them cannot be renamed.
    """
    try:
        rename_each_other(one, other)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            return False
        raise
    return True


def rename_each_other(one: Path, other: Path) -> None:
    """Ask the system to exchange two names.

    Raises:
        OSError: It does not; ENOSYS, EINVAL or ENOTSUP where it never does.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one), None, str(other))
