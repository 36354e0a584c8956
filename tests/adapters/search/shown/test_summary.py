"""The table of a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapters.search.shown.summary import over_seeds
from tests.pages import drawn


def test_the_table_shows_regime_seeds_and_what_was_chosen(searched: Any) -> None:
    found = searched("taskres", {"alpha": (0.1, 0.9), "lr": (0.3,)}, shots=[1, 2])
    text = drawn(found.table(), 160)
    assert text.startswith("search taskres · shapes-tiny · tiny (local) · select: support · seeds 1, 2")
    line = found.lines[1]
    assert f"{100 * line.chosen:.2f} ± {100 * line.chosen_std:.2f}" in text
    assert line.chosen == pytest.approx(np.mean([best["test"]["chosen"] for best in found.best[2:]]))
    assert list(line.settings) == ["alpha"]  # what has one value needs no column
    assert "With 1 shot a class nothing can be chosen" in text
    assert "test labels chose nothing" in text


def test_nothing_is_cut_off_where_many_options_were_varied(searched: Any) -> None:
    several = {"alpha": (0.1, 0.9), "lr": (0.1, 0.3), "weight_decay": (0.0, 1e-4), "batch_size": (4, 8)}
    found = searched("taskres", {**several, "epochs": (2, 3)})
    assert drawn(found.table(), 160).count("shots") == 1 + sum("shots" in note for note in found.notes)
    text = drawn(found.table(), 80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    line = found.lines[0]
    shown = ["by default", f"{100 * line.chosen:.2f} ± {100 * line.chosen_std:.2f}", *several, "epochs"]
    assert all(f" {name} " in text for name in [*shown, *map(over_seeds, line.settings.values())])


def test_options_over_seeds() -> None:
    assert over_seeds([0.2, 0.2]) == "0.2"
    assert over_seeds([0.5, 0.1, 0.2]) == "0.1–0.5"
    assert over_seeds(["shrunk", "class-mean", "shrunk"]) == "class-mean, shrunk"
    assert over_seeds([None, 50]) == "50, none"
    assert over_seeds([]) == "–"
