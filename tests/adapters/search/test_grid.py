"""Grids as they are typed, and the trainings that they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.commands.shared.options import parse_grid, parse_options
from adapters.errors import AdapterError
from adapters.search.grid import Grid


@pytest.mark.parametrize(
    ("method", "words", "expected"),
    [
        ("clip", ["--alpha", "0:1:0.25"], {"alpha": (0.0, 0.25, 0.5, 0.75, 1.0)}),
        ("clip", ["--alpha=0.1:0.35:0.1"], {"alpha": (0.1, 0.2, 0.3)}),
        ("clip", ["--lr", "1e-3,3e-3", "--wd", "0,5e-4"], {"lr": (1e-3, 3e-3), "weight_decay": (0.0, 5e-4)}),
        ("clip", ["--alpha", "0:0.1:0.1,0.1,0.7"], {"alpha": (0.0, 0.1, 0.7)}),
        ("taskres", ["--epochs", "none,50,100:300:100"], {"epochs": (None, 50, 100, 200, 300)}),
        ("taskres", ["--alpha", "1e-3:2e-3:1e-3"], {"alpha": (0.001, 0.002)}),
        ("gda", ["--covariance", "shrunk,class-mean"], {"covariance": ("shrunk", "class-mean")}),
    ],
)
def test_grids_as_they_are_typed(method: str, words: list[str], expected: dict[str, Any]) -> None:
    assert parse_grid(method, words) == expected


def test_fit_has_the_short_name_and_none_too() -> None:
    assert parse_options("taskres", ["--wd", "0.1", "--epochs", "none"]) == {"weight_decay": 0.1, "epochs": None}
    with pytest.raises(AdapterError, match="tip has no option --wd"):
        parse_options("tip", ["--wd", "0.1"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--alpha", "0:1"], "--alpha 0:1: expected a range lo:hi:step of at most 10,000 values, such as 0:1:0.05"),
        (["--alpha", "1:0:0.1"], "expected a range"),
        (["--alpha", "0:1:0"], "expected a range"),
        (["--alpha", "0:1:-0.1"], "expected a range"),
        (["--alpha", "0:1:1e-9"], "at most 10,000 values"),
        (["--alpha", "0:inf:1"], "expected a range"),
        (["--alpha", "0:nan:1"], "expected a range"),
        (["--alpha", "0:much:1"], "expected a range"),
        (["--alpha", "0.1,much"], "--alpha much: expected float"),
        (["--epochs", "1:3:0.5"], "--epochs 1.0: expected int or none"),
        (["--alhpa", "0:1:0.1"], "did you mean --alpha"),
        (["--alpha"], "without a value"),
    ],
)
def test_a_wrong_grid_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(AdapterError, match=told) as error:
        parse_grid("taskres", words)
    assert "\n" not in str(error.value)


def test_alpha_is_trained_or_not_as_the_head_says() -> None:
    alphas = {"alpha": (1.0, 0.0, 0.5), "lr": (0.1, 0.2)}
    trained = Grid.of("taskres", alphas)
    assert trained.alpha_range is None
    assert [(s["lr"], s["alpha"]) for s in trained.settings] == [(lr, a) for lr in (0.1, 0.2) for a in (1.0, 0.0, 0.5)]
    after = Grid.of("tip-f", alphas)
    assert after.alpha_range == (0.0, 1.0)
    assert after.settings == [{"lr": 0.1, "train_alpha": 1.0}, {"lr": 0.2, "train_alpha": 1.0}]
    given = Grid.of("tip-f", {**alphas, "train_alpha": (3.0,)})
    assert [setting["train_alpha"] for setting in given.settings] == [3.0, 3.0]
    assert Grid.of("cross-modal", alphas).settings == [{"lr": 0.1}, {"lr": 0.2}]
    fixed = Grid.of("tip", {"alpha": (2.0,), "beta": (1.0, 2.0)})
    assert fixed.alpha_range is None
    assert [setting["alpha"] for setting in fixed.settings] == [2.0, 2.0]


def test_a_grid_asks_only_what_the_method_takes() -> None:
    grid = Grid.of("clip", {"alpha": (0.5, 1.0)})
    assert grid.takes("alpha", 0.9)
    assert not grid.takes("alpha", 1.1)
    assert Grid.of("taskres", {"alpha": (0.5, 1.0)}).takes("alpha", 1.1)
