"""The weights of joined caches, chosen on what a selection regime allows.

Zero-shot of two encoders with text: its logits are, up to the factor ω_1, a line in the ratio α = ω_2 / ω_1,

    s_1 f_1 · t_1c + α s_2 f_2 · t_2c,        ω = (1, α) / (1 + α),

so that its accuracy is known exactly at every ratio (`adapters.selection.exact_alpha`). Shots choose as they are:
zero-shot has learned nothing from them. Any other head is fitted at every point of a grid on the simplex, in steps of
a quarter, all of them as one program where heads of its kind train together; what gets most held-out rows right is
taken, and of equals the point nearest to equal weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from adapters.arrays import Floats, Ints, unit
from adapters.errors import AdapterError
from adapters.fitting.recipe import Recipe
from adapters.joining.joined_cache import AUTO, JoinedCache, has_text
from adapters.joining.joined_text import JoinedText
from adapters.methods import BASELINE
from adapters.selection.alpha_choice import choose, lines
from adapters.selection.regimes import SUPPORT, Regime
from adapters.support import Rows, Support
from adapters.tasks.task import Task

STEPS = 4
"""Of the grid, along an edge of the simplex."""
FOLDS = 2
"""Of the shots, where they choose."""


def with_weights(task: Task, recipe: Recipe, seed: int) -> Task:
    """The task with weights for this recipe, where its caches are joined and their weights still to be chosen.

    Raises:
        AdapterError: the regime looks at nothing.
    """
    cache = task.cache
    if not isinstance(cache, JoinedCache) or not cache.auto:
        return task
    regime = recipe.select or SUPPORT
    if not regime.chooses:
        equal = ",".join(["1"] * len(cache.parts))
        raise AdapterError(
            f"--weights {AUTO} needs rows to choose on, and --select {regime.name} allows none: type --select "
            f"{SUPPORT.name}, or --weights {equal}"
        )
    weights, told = _chosen(cache, task, recipe, regime, seed)
    chosen = cache.weighted(weights, told)
    return replace(task, cache=chosen, text=chosen.text_set(task.text.name))


def _chosen(cache: JoinedCache, task: Task, recipe: Recipe, regime: Regime, seed: int) -> tuple[Sequence[float], str]:
    """Weights, and how they came about."""
    held_out = regime.held_out(task)
    if recipe.method == BASELINE and len(cache.parts) == 2 and all(map(has_text, cache.parts)):
        rows = (task.support.images, task.support.labels) if held_out is None else held_out
        return _exact(cache, task, Rows(unit(rows[0]), rows[1]), regime)
    if held_out is None and task.shots < 2:
        return cache.weights, "equal: one shot a class leaves nothing to choose on"
    return _on_grid(cache, task, recipe, held_out, regime, seed)


def _exact(cache: JoinedCache, task: Task, rows: Rows, regime: Regime) -> tuple[Sequence[float], str]:
    """The middle of the widest interval of ratios at which zero-shot gets most rows right."""
    text = task.text
    assert isinstance(text, JoinedText)
    width = text.blocks[0].width
    weights = text.weights()
    # With equal weights both products are of the encoders' own logits, times one number.
    base, delta = (rows.features[:, part] @ weights[:, part].T for part in (slice(width), slice(width, None)))
    found = choose(lines([((), base, delta, rows.labels)]), "support" if regime.on_shots else "held-out")
    looked_at = "shots" if regime.on_shots else regime.looks_at
    if found is None:
        return cache.weights, f"equal: no ratio did better than another on the {looked_at}"
    alpha, low, high = found[1].alpha, found[1].lo, found[1].hi
    end = 1.0 if np.isinf(high) else high / (1 + high)
    as_good = f"{cache.parts[1].name} from {low / (1 + low):.3g} to {end:.3g} is as good"
    return (1 / (1 + alpha), alpha / (1 + alpha)), f"exactly, on the {looked_at}: {as_good}"


def _on_grid(
    cache: JoinedCache,
    task: Task,
    recipe: Recipe,
    held_out: tuple[Floats, Ints] | None,
    regime: Regime,
    seed: int,
) -> tuple[Sequence[float], str]:
    from adapters.selection.held_out import held_out_splits, right
    from adapters.training.stacking import fit_supports  # torch

    points = [point for point in simplex(len(cache.parts), STEPS) if _has_text(cache, point)]
    heads, supports, outs = [], [], []
    for point in points:
        text = cache.weighted(point, "").text_set(task.text.name)
        scaled = _scaling(text, point, cache.weights)
        support = Support.check(task.support.inputs * scaled, task.support.labels, text)
        rows = None if held_out is None else Rows(unit(held_out[0] * scaled), held_out[1])
        for kept, out in held_out_splits(support, rows, FOLDS):
            heads.append(recipe.build(logit_scale=text.logit_scale, seed=seed))
            supports.append(kept)
            outs.append(out)
    for _ in fit_supports(heads, supports):
        pass
    counts = np.array([right(head, out) for head, out in zip(heads, outs, strict=True)]).reshape(len(points), -1).sum(1)
    if (counts == counts[0]).all():
        return cache.weights, f"equal: no weights did better than others on the {regime.looks_at}"
    best = [point for point, count in zip(points, counts.tolist(), strict=True) if count == counts.max()]
    chosen = min(best, key=lambda point: sum(weight * weight for weight in point))
    return chosen, f"on a grid of {len(points)} points, on the {regime.looks_at}"


def simplex(parts: int, steps: int) -> Iterator[tuple[float, ...]]:
    """Every point with `parts` coordinates that are whole numbers of 1 / steps, none negative, with sum 1."""

    def counts(left: int, places: int) -> Iterator[tuple[int, ...]]:
        if places == 1:
            yield (left,)
            return
        for first in range(left + 1):
            for others in counts(left - first, places - 1):
                yield (first, *others)

    for point in counts(steps, parts):
        yield tuple(count / steps for count in point)


def _has_text(cache: JoinedCache, point: Sequence[float]) -> bool:
    return any(weight and has_text(part) for weight, part in zip(point, cache.parts, strict=True))


def _scaling(text: JoinedText, point: Sequence[float], before: Sequence[float]) -> Floats:
    """What (ΣD,) takes a feature of other weights to one of these."""
    roots = [np.sqrt(weight / other) for weight, other in zip(point, before, strict=True)]
    return np.repeat(np.array(roots, np.float32), [block.width for block in text.blocks])
