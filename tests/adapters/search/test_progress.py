"""How far a search is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from adapters.search.progress import TrialReporter
from adapters.search.trials import Trial, trials_of

Make = Callable[..., Any]


def test_progress_tells_count_rate_and_time_left(searched: Any, capsys: pytest.CaptureFixture[str]) -> None:
    searched("taskres", {"lr": (0.1, 0.2)}, progress=True)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "search: 8 trainings: 2 settings of 2 draws"
    assert told[-1].startswith("search: 8/8 trainings, ")
    assert told[-1].endswith("a second, 0:00 left")
    searched("taskres", {"lr": (0.1, 0.2)})
    assert capsys.readouterr().err == ""


def test_time_left_counts_rows(make_cache: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters import TipAdapter
    from adapters.search.draws import draw_all
    from adapters.selection.regimes import VAL

    draws = draw_all(TipAdapter, make_cache(), [2, 8], [1], VAL, allow_fewer=False, prompts=None)
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    reporter = TrialReporter(draws, 1, trials_of(draws, [{}], {}), shown=False)
    reporter.ended(Trial(0, 0, 0))
    assert reporter._rate() == "0.1 a second, 0:40 left"  # 8 rows took 10 seconds; 32 are ahead
    assert dict(reporter.seconds) == {2: 10.0}
