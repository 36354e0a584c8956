"""A generator that runs in a thread, some items ahead of whoever takes them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

POLL = 0.1
"""Seconds after which a thread that has nowhere to put an item looks whether anybody still wants it."""


def ahead(items: Generator[T], count: int) -> Generator[T]:
    """The same items, made by a thread that is at most so many ahead; its errors come out here.

    When this iterator is closed, the thread ends and closes `items`.
    """
    made: Queue[tuple[T | None, BaseException | None, bool]] = Queue(maxsize=count)
    closed = Event()

    def put(item: T | None, error: BaseException | None, last: bool) -> bool:
        while not closed.is_set():
            try:
                made.put((item, error, last), timeout=POLL)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        with closing(items):
            try:
                for item in items:
                    if not put(item, None, False):
                        return
            except BaseException as error:
                put(None, error, True)
            else:
                put(None, None, True)

    thread = Thread(target=work, name="featcache-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, last = made.get()
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()
