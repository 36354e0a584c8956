"""What must be read with a search's numbers, and the command to type next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.commands.shared.options import parse_options
from adapters.fitting.fit import fit
from tests.pages import drawn

Make = Callable[..., Any]


def test_oracle_and_one_seed_are_shouted(searched: Any) -> None:
    found = searched("tip", {"alpha": (0.0, 4.0)}, select="oracle", seeds=[3], plot=None)
    for text in (drawn(found.table(), 160), found.picture.read_text()):
        assert "select: ORACLE · ONE SEED (3)" in text
    assert found.to_json()["notes"][0].startswith("ORACLE: ")
    assert not any("chose nothing" in note for note in found.notes)
    assert found.next_command == ""  # fitted with fixed settings, the head would pass for an honest one


def test_a_grid_that_is_too_narrow_is_told(searched: Any) -> None:
    narrow = searched("taskres", {"lr": (1e-6, 1e-5, 0.1), "epochs": (10,)}, select="val").notes
    assert any("the largest lr tried, 0.1, was among the best" in note for note in narrow)
    # Zero-shot is the end of what there is, and an alpha that changes nothing asks for no other.
    flat = searched("taskres", {"alpha": (0.0, 0.1), "lr": (1e-9,)}).notes
    assert not any("among the best" in note for note in flat)


def test_ties_and_single_shots_are_told(searched: Any) -> None:
    tied = searched("taskres", {"alpha": (0.0, 0.1), "lr": (1e-9,)})
    assert any("In 2 of 2 draws no setting did better than another" in note for note in tied.notes)
    one = searched("taskres", {"alpha": (0.0, 0.1)}, shots=[1])
    assert not any(note.startswith("Chosen on") for note in one.notes)
    assert one.next_command == ""


@pytest.mark.parametrize(("method", "grid"), [("tip", {"alpha": (0.0, 6.0)}), ("taskres", {"lr": (0.1, 0.2)})])
def test_the_command_to_type_next_fits_what_was_chosen(
    searched: Any, make_cache: Make, tmp_path: Path, method: str, grid: Any
) -> None:
    results = searched(method, grid)
    words = results.next_command.split()
    assert words[:9] == ["adapters", "fit", method, "--shots", "2", "--seed", "1", "--select", "none"]
    params = parse_options(method, words[11:])
    report = fit(method, cache=make_cache(), shots=2, seed=1, select="none", params=params, root=str(tmp_path))
    assert report.accuracy["test"] == results.best[0]["test"]["chosen"]
