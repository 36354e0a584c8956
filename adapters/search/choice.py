"""Which of the settings is taken, from right answers on held-out rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from adapters.search.grid import Setting
from adapters.search.trials import Outcome


def choose(settings: Sequence[Setting], outcomes: Mapping[int, Outcome]) -> int:
    """The number of the setting with most right answers, of those that were trained to the end.

    Of equals the one whose alphas have the widest interval, where alpha is chosen exactly (`selection.alpha_choice`);
    else the first in grid order, but of those that differ from it in alpha alone, which changes first in grid order,
    the middle of the longest run of tied neighbours (the lower of two middles), as least at an edge.

    Args:
        settings: in grid order.
        outcomes: by number of the setting.
    """
    scores = {i: outcome.correct for i, outcome in outcomes.items() if outcome.stopped_at is None}
    most = max(scores.values())
    tied = [i for i, score in sorted(scores.items()) if score == most]
    first = max(tied, key=lambda i: _width(outcomes[i]))  # the first of equals
    line = sorted(
        (i for i, setting in enumerate(settings) if without_alpha(setting) == without_alpha(settings[first])),
        key=lambda i: settings[i].get("alpha", 0.0),
    )
    runs = [list(run) for best, run in groupby(line, key=lambda i: scores.get(i) == most) if best]
    longest = max(runs, key=len)
    return longest[(len(longest) - 1) // 2]


def _width(outcome: Outcome) -> float:
    return 0.0 if outcome.alphas is None else outcome.alphas.width


def without_alpha(setting: Setting) -> dict[str, Any]:
    """The other options."""
    return {name: value for name, value in setting.items() if name != "alpha"}
