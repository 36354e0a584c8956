"""How far an extraction is: lines now and then in a log, times as people write them."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from featcache.progress import StderrReporter, _bar, clock


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


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_gives_way_to_what_is_told(width: int) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=True)
    with _bar(console) as bar:
        task = bar.add_task("Encoding a-data-set-with-a-long-name-ViT-B-16", total=1797, rate="")
        bar.update(task, advance=1090, rate="464 images/s, 0:02 left, bound by the encoder")
        bar.refresh()
    assert isinstance(console.file, io.StringIO)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()).split("\r")[-1]
    assert "1090/1797 464 images/s, 0:02 left, bound by the encoder" in last
    assert ("━" in last) == (width == 120)
