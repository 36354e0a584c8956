from __future__ import annotations

from adapters.show.numbers import percent, points


def test_percentages() -> None:
    assert percent(0.5) == "50.00 %"
    assert percent(None) == ""
    assert points(0.7125) == "71.25"
    assert points(0.7125, 0.013) == "71.25 ± 1.30"
    assert points(None) == "–"
