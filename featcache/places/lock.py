"""One writer a cache: the second run refuses and names the first."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from featcache.errors import CacheLocked
from featcache.places.folder import Folder
from featcache.utc import now

OWNER = "writer.json"


@contextmanager
def writing(folder: Folder) -> Iterator[None]:
    """Hold the cache for writing.

    On a disk the operating system drops the lock when the process dies, however it dies. Behind a URL the owner's
    file is the lock, and one left by a dead run has to be removed by hand.

    Raises:
        CacheLocked: Another run holds it; the message says which.
    """
    if folder.remote:
        if folder.exists(OWNER) and not _left_behind(folder.read_json(OWNER)):
            raise CacheLocked(f"{_owner(folder)}; if that run is dead, remove {folder.path(OWNER)} and try again")
        yield from _owned(folder)
        return
    Path(folder.path("")).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.path("writer.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CacheLocked(f"{_owner(folder)}; wait for it to end, or stop it, and type the command again") from error
    try:
        yield from _owned(folder)
    finally:
        lock.release()


def _owned(folder: Folder) -> Iterator[None]:
    me = {"pid": os.getpid(), "host": socket.gethostname(), "since": now(), "token": secrets.token_hex(8)}
    folder.write_json(OWNER, me)
    if folder.read_json(OWNER) != me:  # behind a URL, of two that start together the later writer goes on
        raise CacheLocked(f"{_owner(folder)}; wait for it to end, or stop it, and type the command again")
    try:
        yield
    finally:
        folder.remove(OWNER)


def _left_behind(owner: dict[str, Any]) -> bool:
    """Whether the owner was a process of this machine that is gone."""
    if owner["host"] != socket.gethostname() or owner["pid"] == os.getpid():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _owner(folder: Folder) -> str:
    try:
        owner = folder.read_json(OWNER)
    except FileNotFoundError:  # between its lock and its file
        return f"another run is writing the cache {folder.location}"
    return (
        f"process {owner['pid']} on {owner['host']} has been writing the cache {folder.location} since {owner['since']}"
    )
