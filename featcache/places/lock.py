"""One writer a cache: the second run refuses and names the first.

On a disk the operating system holds the lock, and drops it when the process dies, however it dies. Behind a URL the
owner's file is the lock: it is created on condition that there is none, and it is a lease, which a living writer renews
and a dead one loses.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from filelock import FileLock, Timeout

from featcache.errors import CacheLocked
from featcache.places.folder import Folder
from featcache.places.whole import make_folder
from featcache.utc import now

OWNER = "writer.json"
LOCK = "writer.lock"
LEASE = 60.0
"""Seconds after its last renewal that a lease is held."""
SETTLE = 0.1
"""Seconds in which another run that removes a dead lease would have done so."""
RENEWALS = 4
"""Times that a lease is renewed before it would end."""


@dataclass(frozen=True)
class Held:
    """A cache that is held for writing.

    Attributes:
        token: Tells this holder from any other; processes that write for it are told it, see `Watched`.
        check: Raises `CacheLocked` when the cache is no longer held.
    """

    token: str
    check: Callable[[], None]


class Watched:
    """A cache that somebody else holds, as a process sees it that writes for that run.

    Args:
        folder: The cache's.
        token: The holder's.
    """

    def __init__(self, folder: Folder, token: str) -> None:
        self._folder, self._token = folder, token
        self._renewed: int | None = None
        self._seen = time.monotonic()

    def check(self) -> None:
        """Make sure that it is still held: that nobody else is its owner, and that its lease, if any, is renewed.

        Raises:
            CacheLocked: It is not.
        """
        try:
            owner = self._folder.read_json(OWNER)
        except FileNotFoundError:
            owner = {}
        if owner.get("renewed") != self._renewed:
            self._renewed, self._seen = owner.get("renewed"), time.monotonic()
        ended = self._renewed is not None and time.monotonic() - self._seen > LEASE
        if owner.get("token") != self._token or ended:
            message = f"the run that this was part of no longer holds the cache {self._folder.location}; "
            raise CacheLocked(message + "type its command again")


@contextmanager
def writing(folder: Folder, tell: Callable[[str], object] = lambda line: None) -> Iterator[Held]:
    """Hold the cache for writing.

    Args:
        folder: The cache's.
        tell: Told in a line what is waited for, where that takes long.

    Yields:
        What tells whether it is still held; it is asked before something is written.

    Raises:
        CacheLocked: Another run holds it; the message says which.
    """
    me: dict[str, Any] = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": now(),
        "token": secrets.token_hex(8),
    }
    if folder.remote:
        yield from _leased(folder, me, tell)
        return
    make_folder(folder.path(""))
    lock = FileLock(folder.path(LOCK))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise CacheLocked(f"{_owner(folder)}; wait for it to end, or stop it, and type the command again") from error
    try:
        folder.remove_partial_files()
        folder.write_json(OWNER, me)
        try:
            yield Held(me["token"], lambda: None)
        finally:
            folder.remove(OWNER)
    finally:
        _leave(folder.path(""))
        lock.release()


def _leave(folder: Path) -> None:
    """Remove the folder of a cache that was not begun, and the one above it if it is empty then."""
    with suppress(OSError):  # where another has begun to write meanwhile, or it may not be removed
        if [entry.name for entry in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            folder.rmdir()
            folder.parent.rmdir()


def forget_the_dead(folder: Folder) -> None:
    """Remove what a writer said of itself that was killed after its last word; nothing happens where one writes."""
    if not folder.remote and folder.exists(OWNER):
        with suppress(CacheLocked, OSError), writing(folder):
            pass


def _leased(folder: Folder, me: dict[str, Any], tell: Callable[[str], object]) -> Iterator[Held]:
    while not _acquired(folder, me):
        tell(f"{_owner(folder)}; looking for up to {LEASE:.0f} s whether it still does")
        _wait_for_its_end(folder)
    done, lost = Event(), Event()
    last = time.monotonic()

    def renew() -> None:
        nonlocal last
        renewed = 0
        while not done.wait(LEASE / RENEWALS):
            try:
                if not _is_mine(folder, me):
                    lost.set()
                    return
                asked, renewed = time.monotonic(), renewed + 1
                folder.write_json(OWNER, me | {"renewed": renewed})
                last = asked
            except Exception:  # a store that does not answer may answer again
                continue

    def check() -> None:
        # A renewal may wait long for its answer: what counts is when the last one that was answered was asked for.
        if lost.is_set() or time.monotonic() - last > LEASE:
            message = (
                f"this run was held up for longer than its lease of {LEASE:.0f} s on {folder.location}, which another"
            )
            raise CacheLocked(f"{message} run may hold now; type the command again")

    thread = Thread(target=renew, name="featcache-lease", daemon=True)
    thread.start()
    try:
        yield Held(me["token"], check)
        check()
    finally:
        done.set()
        thread.join()
        with suppress(Exception):  # what is not removed ends by itself
            if _is_mine(folder, me):
                folder.remove(OWNER)


def _acquired(folder: Folder, me: dict[str, Any]) -> bool:
    """Whether the owner's file is this run's now."""
    if not folder.create_json(OWNER, me | {"renewed": 0}):
        return False
    # Of two that found the same dead lease, one may remove what the other has just created: that one looks again.
    time.sleep(SETTLE)
    return _is_mine(folder, me)


def _wait_for_its_end(folder: Folder) -> None:
    """Look at a lease until it is renewed, which refuses, or has not been for as long as it lasts, and remove it then.

    Only this machine's clock counts, and only how long it has looked: clocks of other machines may be wrong.
    """
    try:
        first, began = folder.read_json(OWNER), time.monotonic()
        while time.monotonic() - began < LEASE:
            time.sleep(LEASE / RENEWALS / 4)
            if folder.read_json(OWNER) != first:
                raise CacheLocked(f"{_owner(folder)}; wait for it to end, or stop it, and type the command again")
        if folder.read_json(OWNER) == first:
            folder.remove(OWNER)
    except FileNotFoundError:  # its writer ended, or another that waited was first
        return


def _is_mine(folder: Folder, me: dict[str, Any]) -> bool:
    try:
        return bool(folder.read_json(OWNER)["token"] == me["token"])
    except FileNotFoundError:
        return False


def _owner(folder: Folder) -> str:
    try:
        owner = folder.read_json(OWNER)
        who = f"process {owner['pid']} on {owner['host']}"
        return f"{who} has been writing the cache {folder.location} since {owner['since']}"
    except (FileNotFoundError, LookupError, TypeError):  # between its lock and its file, or what it wrote is damaged
        return f"another run is writing the cache {folder.location}"
