"""The choice among equals."""

from __future__ import annotations

from adapters.search.choice import choose
from adapters.search.trials import Outcome
from adapters.selection.alpha_choice import Widest


def choice(counts: list[int | None]) -> int:
    """Of two learning rates and five alphas, typed in no order; None: given up."""
    settings = [{"lr": lr, "alpha": alpha} for lr in (0.1, 0.2) for alpha in (0.5, 0.0, 0.25, 0.75, 1.0)]
    outcomes = {i: Outcome(9, stopped_at=3) if n is None else Outcome(n) for i, n in enumerate(counts)}
    return choose(settings, outcomes)


def test_the_middle_of_tied_alphas_is_taken() -> None:
    assert choice([1, 0, 2, 1, 1, 1, 1, 1, 1, 1]) == 2
    assert choice([5, 5, 5, 5, 5, 5, 5, 5, 5, 5]) == 0  # alpha = 0.5 of the first learning rate
    assert choice([5, 0, 0, 5, 5, 5, 5, 5, 5, 5]) == 3  # 0.5, 0.75, 1
    assert choice([0, 5, 5, 0, 5, 0, 0, 0, 0, 0]) == 1  # 0 and 0.25 are neighbours: the lower of two middles
    assert choice([0, 0, 0, 0, 0, 0, 7, 0, 0, 7]) == 6
    assert choice([None, 1, None, 0, 0, 0, 0, 0, 0, 0]) == 1


def test_of_tied_settings_the_one_with_the_widest_interval_is_taken() -> None:
    settings = [{"beta": beta} for beta in (1.0, 2.0, 3.0)]
    outcomes = {i: Outcome(4, Widest(width, 1.0, 0.5, 1.5)) for i, width in enumerate((0.1, 0.3, 0.2))}
    assert choose(settings, outcomes) == 1
    assert choose(settings, {**outcomes, 2: Outcome(5, Widest(0.0, 1.0, 1.0, 1.0))}) == 2
