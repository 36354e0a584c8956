"""How far an extraction is: lines now and then in a log, times as people write them."""

from __future__ import annotations

import time

import pytest

from featcache.progress import StderrReporter, clock


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_clock(seconds: float, told: str) -> None:
    assert clock(seconds) == told


def test_a_log_has_a_line_now_and_then_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [0.0, 4.0, 8.0, 16.0, 20.0, 28.0, 32.0, 40.0]  # seconds
    monkeypatch.setattr(time, "monotonic", lambda: times[0])
    with StderrReporter() as reporter:
        reporter.start("train", 100)
        while len(times) > 2:
            del times[0]
            reporter.advance(15, 0)
        del times[0]
        reporter.advance(10, 2)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "train: 45/100, 3 images/s, 0:20 left",
        "train: 90/100, 3 images/s, 0:04 left",
        "train: 100/100, 2 images/s, 0:00 left, 2 unreadable",
    ]
