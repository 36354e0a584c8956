"""A generator in a thread: the same items, its errors, and an end when nobody wants more."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from featcache.encoding.ahead import ahead


def test_the_same_items_in_order_made_ahead() -> None:
    made: list[int] = []

    def items() -> Generator[int]:
        for number in range(6):
            made.append(number)
            yield number

    taken = ahead(items(), 2)
    assert next(taken) == 0
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]  # two wait, and one has nowhere to go
    assert list(taken) == [1, 2, 3, 4, 5]


def test_errors_come_out_where_the_item_would_have() -> None:
    def items() -> Generator[int]:
        yield 1
        raise OSError("the disk is gone")

    taken = ahead(items(), 2)
    assert next(taken) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(taken)


def test_when_it_is_closed_the_thread_ends_and_closes_the_generator() -> None:
    closed: list[bool] = []

    def items() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    taken = ahead(items(), 1)
    next(taken)
    taken.close()
    assert closed == [True]
    assert not [thread for thread in threading.enumerate() if thread.name == "featcache-ahead"]
