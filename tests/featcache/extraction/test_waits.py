"""What a run waits for most is what bounds it."""

from __future__ import annotations

import time

import pytest

from featcache.extraction.waits import DECODING, DEVICE, READING, WRITING, Waits


def test_nothing_bounds_a_run_that_has_not_begun() -> None:
    assert Waits().bound == ""


@pytest.mark.parametrize("cause", [DEVICE, WRITING])
def test_more_than_half_of_the_waiting_is_a_bound(cause: str) -> None:
    waits = Waits()
    waits.seconds[DECODING] = 0.01
    with waits.on(cause):
        time.sleep(0.02)
    assert waits.bound == cause
    waits.seconds[READING] = waits.seconds[cause]
    assert waits.bound == ""


def test_waiting_for_a_part_is_divided_as_its_worker_spent_its_time() -> None:
    waits = Waits()
    waits.divide(reading=3.0, decoding=1.0, began=time.perf_counter() - 8)
    assert waits.seconds[READING] == pytest.approx(6, rel=0.01)
    assert waits.seconds[DECODING] == pytest.approx(2, rel=0.01)
    assert waits.bound == READING
