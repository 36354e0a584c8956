"""What a run waits for most is what bounds it."""

from __future__ import annotations

import time

import pytest

from featcache.encoding.waits import DECODING, DEVICE, READING, STARTING, WRITING, Waits, bound_by


def test_nothing_bounds_a_run_that_has_not_begun() -> None:
    assert bound_by(Waits().seconds) == ""


@pytest.mark.parametrize("cause", [DEVICE, WRITING])
def test_more_than_half_of_the_waiting_is_a_bound(cause: str) -> None:
    waits = Waits()
    waits.seconds[DECODING] = 0.01
    with waits.on(cause):
        time.sleep(0.02)
    assert bound_by(waits.seconds) == cause
    waits.seconds[READING] = waits.seconds[cause]
    assert bound_by(waits.seconds) == ""


def test_waiting_is_divided_as_those_who_were_waited_for_spent_their_time() -> None:
    waits = Waits()
    waits.divide(8.0, {READING: 3.0, DECODING: 1.0})
    waits.divide(1.0, {READING: 0.0})
    assert waits.seconds[READING] == pytest.approx(6)
    assert waits.seconds[DECODING] == pytest.approx(2)
    assert bound_by(waits.seconds) == READING
    waits.divide(100.0, {STARTING: 1.0})
    assert bound_by(waits.seconds) == READING
