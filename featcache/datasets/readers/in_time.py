"""Reading with a limit on the time: a file server that does not answer holds whoever reads from it for ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from featcache.errors import DataError

T = TypeVar("T")

LONGEST = 120.0
"""Seconds that one image is waited for: more than a busy server takes, and less than a night."""

_Work = tuple[Callable[..., Any], tuple[Any, ...], "Future[Any]"]
_threads: dict[int, SimpleQueue[_Work]] = {}
"""What the thread that reads for this process takes its work from, by the process: threads do not survive a fork."""


def in_time(call: Callable[..., T], *args: Any) -> T:
    """`call(*args)`, in a thread: one that does not come back is left behind, and ends with the process.

    Raises:
        DataError: It took more than `LONGEST` seconds, or what it raises itself.
    """
    process = os.getpid()
    if process not in _threads:
        _threads.clear()
        _threads[process] = SimpleQueue()
        Thread(target=_work, args=(_threads[process],), name="featcache-reader", daemon=True).start()
    done: Future[T] = Future()
    _threads[process].put((call, args, done))
    try:
        return done.result(LONGEST)
    except TimeoutError:
        if done.done():  # the reader's own, or it came just now
            return done.result()
        del _threads[process]
        raise DataError(f"was not read in {LONGEST:g} seconds: the disk or server does not answer") from None


def _work(asked: SimpleQueue[_Work]) -> None:
    while True:
        call, args, done = asked.get()
        try:
            done.set_result(call(*args))
        except BaseException as error:
            done.set_exception(error)
        del call, args, done  # nothing is kept while it waits
