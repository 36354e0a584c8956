"""Run a search: train the grid, choose on held-out rows, then fit what was chosen and score it on the test split."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adapters.errors import AdapterError
from adapters.fitting.code import code_digest
from adapters.fitting.recipe import Recipe, build
from adapters.head import Head
from adapters.joining.joined_cache import refuse_auto
from adapters.methods import METHODS
from adapters.search.choice import choose
from adapters.search.draws import Draw, draw_all
from adapters.search.facts import Chosen, Facts
from adapters.search.files import Kept, folder_for, made, write
from adapters.search.final import fit_and_test
from adapters.search.grid import Grid, Setting
from adapters.search.halving import check_halving, train_best
from adapters.search.progress import TrialReporter
from adapters.search.results import Results
from adapters.search.shown.picture import draw_picture
from adapters.search.trials import Build, Outcome, Outcomes, Scorer, Trial, train_all, trials_of
from adapters.selection.regimes import REGIMES, SUPPORT, parse_select
from adapters.show.output_files import check_output
from adapters.show.plotting import check_suffix
from adapters.tasks.all_shots import ALL
from adapters.tasks.seen import seen_by
from adapters.tasks.task import shots_of_all

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def run(
    method: str,
    grid: Mapping[str, Sequence[Any]],
    *,
    cache: Cache,
    shots: Sequence[int] | Literal["all"] = (1, 2, 4, 8, 16),
    seeds: Sequence[int] = (1, 2, 3),
    select: str = SUPPORT.name,
    halving: bool = False,
    prompts: str | None = None,
    allow_fewer: bool = False,
    out: Path | str | None = None,
    plot: Path | str | None = None,
    root: str | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Results:
    """Try every combination of a grid for every number of shots and seed, and keep what was found on disk.

    All trainings are one program (`adapters.training.stacking`). Where alpha only blends what was fitted
    (`BlendedHead`), every alpha between the least and the largest of the grid is scored exactly, from one fit.

    Args:
        method: name of a method (`adapters.methods`).
        grid: values to try of each option; an option with one value is used as it is.
        cache: an opened cache.
        shots: numbers of shots K; "all": every labelled training image, of classes as large as they are.
        seeds: each is a draw of shots and the seed of the training.
        select: selection regime; what may choose (`adapters.selection.regimes`).
        halving: give up all but the best third after a ninth and after a third of the steps.
        prompts: name of the prompt set; None for the cache's default.
        allow_fewer: use a class that has fewer than K images as it is.
        out: folder for the results; None: one under the root, named after cache, method and what was asked for.
        plot: the picture, an .svg or .png file; None: `alpha.svg`, or the first varied option's name, in that folder.
        root: where that is; None as `featcache.places.home.resolve_root`.
        device: where heads compute: auto, cpu, cuda, mps.
        progress: tell on standard error how far it is.

    Raises:
        AdapterError: no such method, option or regime, or options that do not go together.
        TaskError: the cache cannot give the tasks.
        RunError: the results cannot be written.
    """
    clock = [time.perf_counter()]
    regime = parse_select(select)
    if not regime.chooses:
        *others, last = (each.name for each in REGIMES.values() if each.chooses)
        typed = f"type {', '.join(others)} or {last}"
        raise AdapterError(f"--select {regime.name} given, under which nothing is chosen; {typed}")
    if not shots or not seeds:
        raise AdapterError("expected at least one number of shots and one seed: type --shots 1,4,16 --seeds 1,2,3")
    refuse_auto(cache, "a search chooses a head's settings alone")
    every = shots == ALL
    if shots == ALL:
        shots, allow_fewer = [shots_of_all(cache)], True
    asked = Grid.of(method, grid)
    if halving:
        check_halving(asked.head_class)
    picture = None if plot is None else Path(plot).expanduser()
    if picture is not None:
        check_suffix(picture)
        made(picture.parent, "--plot")
        check_output(picture, "--plot")
    cache = seen_by(asked.head_class, cache)
    ks, every_seed = sorted(set(shots)), sorted(set(seeds))
    draws = draw_all(asked.head_class, cache, ks, every_seed, regime, allow_fewer=allow_fewer, prompts=prompts)
    test = draws[0].task.test  # read now: what is timed must not wait for the disk
    facts = Facts.of(cache, draws, asked, regime=regime, halving=halving, every=every)
    folder = folder_for(facts, out, root)
    clock.append(time.perf_counter())

    def make(draw: Draw, setting: Setting) -> Head:
        scale = float(draw.task.text.logit_scale)
        return build(asked.head_class, setting, logit_scale=scale, seed=draw.task.seed, device=device)

    code = code_digest(METHODS.homes[method].partition(":")[0], __name__)
    kept = Kept(folder, [asdict(facts), code, device])
    scorer = Scorer(draws, asked.alpha_range, kept.found)
    ahead = trials_of(draws, asked.settings, kept.found)
    with TrialReporter(draws, len(asked.settings), ahead, shown=progress) as reporter:
        found = _train(draws, asked, make, scorer, reporter, kept, halving=halving)
    by_draw = [
        {j: found[i, j] for j in range(len(asked.settings))} if draw.splits else {} for i, draw in enumerate(draws)
    ]
    numbers = [choose(asked.settings, outcomes) if outcomes else None for outcomes in by_draw]
    settings = [_setting(asked, number, outcomes) for number, outcomes in zip(numbers, by_draw, strict=True)]
    clock.append(time.perf_counter())

    own = partial(Recipe, method, device=device)
    finals = fit_and_test(draws, settings, make, recipe_for=own, test=test, regime=regime, alphas=asked.alpha_span)
    clock.append(time.perf_counter())
    results = Results(
        folder=folder,
        picture=picture or folder / f"{asked.drawn}.svg",
        facts=facts,
        grid=asked,
        chosen=tuple(
            Chosen(draw.task.shots, draw.task.seed, setting, number, outcomes, draw.rows, final)
            for draw, setting, number, outcomes, final in zip(draws, settings, numbers, by_draw, finals, strict=True)
        ),
        trainings=reporter.total,
        seconds=dict(zip(("load", "search", "final"), (b - a for a, b in pairwise(clock)), strict=True)),
        seconds_of_shots=dict(reporter.seconds),
        task_notes=tuple(dict.fromkeys(note for draw in draws for note in draw.task.notes)),
    )
    write(results)
    draw_picture(results)
    kept.forget()
    return results


def _train(
    draws: Sequence[Draw],
    asked: Grid,
    make: Build,
    scorer: Scorer,
    reporter: TrialReporter,
    kept: Kept,
    *,
    halving: bool,
) -> Outcomes:
    """Train what is ahead, and keep what was found as it comes."""

    def ended(trial: Trial) -> None:
        reporter.ended(trial)
        kept.keep(scorer.outcomes)

    try:
        return (train_best if halving else train_all)(draws, asked.settings, make, scorer, ended)
    finally:
        kept.keep(scorer.outcomes, now=True)


def _setting(grid: Grid, number: int | None, outcomes: Mapping[int, Outcome]) -> Setting:
    """What was chosen, with the exact alpha; the grid's defaults where nothing could be."""
    if number is None:
        return grid.defaults
    best = outcomes[number].alphas
    return grid.settings[number] if best is None else {**grid.settings[number], "alpha": best.alpha}
