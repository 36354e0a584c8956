"""What was chosen, fitted on the whole support and scored: here alone a search compares test labels with anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.abilities import LineInAlpha
from adapters.fitting.recipe import Recipe
from adapters.head import Head
from adapters.methods import zero_shot
from adapters.search.draws import Draw
from adapters.search.grid import Setting
from adapters.search.trials import Build, path_of
from adapters.selection.exact_alpha import AlphaPath
from adapters.selection.regimes import Regime
from adapters.tasks.split_rows import SplitRows
from adapters.training.stacking import fit_supports

Right = npt.NDArray[np.bool_]
"""Which test rows (N,) a head gets right."""


class Final(NamedTuple):
    """Which test rows of one draw are right, and how the chosen head does on the held-out rows at other alphas."""

    zero_shot: Right
    default: Right
    """Of the method as it comes, by its recipe: what `adapters fit METHOD` gives."""
    chosen: Right
    path: AlphaPath | None
    """None where there is no range of alphas, nothing was chosen, or the head is not of the form base + alpha delta."""


def fit_and_test(
    draws: Sequence[Draw],
    chosen: Sequence[Setting],
    build: Build,
    *,
    recipe_for: Callable[[int], Recipe],
    test: SplitRows,
    regime: Regime,
    alphas: tuple[float, float] | None,
) -> list[Final]:
    """Fit each draw's chosen head and the method as it comes, in one program; score them on the test split.

    Args:
        draws: the draws.
        chosen: a setting each.
        build: makes an unfitted head.
        recipe_for: the method's own, for a number of shots.
        test: the test split.
        regime: what chose; where that was the shots, the exact path needs the chosen setting's folds again.
        alphas: the range that paths are wanted of.
    """
    heads = [build(draw, setting) for draw, setting in zip(draws, chosen, strict=True)]
    usual = [recipe_for(draw.task.shots).choose(build(draw, {}), draw.task) for draw in draws]
    whole = [draw.support for draw in draws]
    judges = [
        [build(draw, setting) for _ in draw.splits]
        if alphas and regime.on_shots and isinstance(head, LineInAlpha)
        else []
        for draw, setting, head in zip(draws, chosen, heads, strict=True)
    ]
    folds = [support for draw, of_draw in zip(draws, judges, strict=True) if of_draw for support, _ in draw.splits]
    everything = [*heads, *usual, *(head for of_draw in judges for head in of_draw)]
    for _ in fit_supports(everything, [*whole, *whole, *folds]):
        pass
    text = draws[0].task.text

    def right(head: Head) -> Right:
        return np.asarray(head.decision_function(test.images).argmax(1) == test.labels)

    baseline = right(zero_shot(text))
    finals = []
    for draw, head, default, of_draw in zip(draws, heads, usual, judges, strict=True):
        path = None
        if alphas and draw.splits and isinstance(head, LineInAlpha):
            rows = [out for _, out in draw.splits]
            path = path_of(zip(of_draw or [head], rows, strict=True), alphas)
        finals.append(Final(baseline, right(default), right(head), path))
    return finals
