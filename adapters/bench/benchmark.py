"""Run a bench: plan the cells, compute those that are not there yet, keep each at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adapters.bench.cells import Cell, plan
from adapters.bench.progress import CellReporter
from adapters.bench.protocols.protocols import DEFAULT_PROTOCOL
from adapters.bench.protocols.settings import Settings
from adapters.bench.results import Results
from adapters.bench.store import Record, Store, opened
from adapters.bench.summary import CellName
from adapters.errors import AdapterError, TaskError
from adapters.fitting.joint_weights import with_weights
from adapters.joining.joined_cache import refuse_auto
from adapters.methods import BASELINE, METHODS
from adapters.runs.folder import slug
from adapters.selection.regimes import parse_select
from adapters.tasks.all_shots import ALL
from adapters.tasks.seen import has_what_it_needs
from adapters.tasks.task import Task, shots_of_all
from featcache.places.home import local_home

if TYPE_CHECKING:
    from featcache.cache.reading import Cache

SECONDS_BETWEEN_TABLES = 2.0


def run(
    methods: Sequence[str] | str = "all",
    *,
    caches: Sequence[Cache],
    shots: Sequence[int] | Literal["all"] = (1, 2, 4, 8, 16),
    seeds: Sequence[int] = (1, 2, 3),
    select: str | None = None,
    protocol: str = DEFAULT_PROTOCOL,
    tasks: int | None = None,
    class_order: Sequence[str] | None = None,
    calibrate: bool = False,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    prompts: str | None = None,
    allow_fewer: bool = False,
    out: Path | str | None = None,
    root: str | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Results:
    """Fit and score methods side by side.

    A cell that an earlier bench finished in the same folder is taken from there, unless anything that could change its
    numbers differs. A method that cannot be fitted is left out, with the reason among the notes.

    Args:
        methods: names (`adapters.methods`), or "all", of which are left out those that need what a cache does not keep
            (`adapters list`); zero-shot always stands first.
        caches: opened caches; some protocols fit on the first and only test on the others.
        shots: numbers of shots K; "all": every labelled training image, of classes as large as they are.
        seeds: each is a draw of shots and the seed of the training.
        select: selection regime; what may choose hyper-parameters and temperatures. None: each method's own, as in
            `adapters fit`.
        protocol: on which classes and rows (`adapters.bench.protocols.protocols`).
        tasks: number of tasks T, where classes arrive in tasks.
        class_order: likewise, class names in their order of arrival; None: drawn from each seed.
        calibrate: fit a temperature where the regime allows it (`adapters.selection.calibration`).
        params: constructor arguments by method.
        prompts: name of the prompt set; None for the cache's default.
        allow_fewer: use a class that has fewer than K images as it is.
        out: folder for results; one that is there is continued. None: `bench/<caches>-<protocol>` under the root.
        root: where that is; None as `featcache.places.home.resolve_root`.
        device: where heads compute: auto, cpu, cuda, mps.
        progress: tell on standard error how far it is.

    Raises:
        AdapterError: no such method, regime or protocol, or options that do not go together.
        TaskError: a cache cannot give the task.
        RunError: the folder cannot be used, or another bench is writing it.
    """
    names = _methods(methods, caches)
    if not caches or not shots or not seeds:
        raise AdapterError("expected at least one cache, number of shots and seed: type --shots 1,4,16 --seeds 1,2,3")
    if shots == ALL:
        shots, allow_fewer = [max(map(shots_of_all, caches))], True
    if protocol != DEFAULT_PROTOCOL:
        for cache in caches:
            refuse_auto(cache, f"the shots that would choose are not all seen in {protocol}")
    order = None if class_order is None else tuple(class_order)
    regime = None if select is None else parse_select(select)
    settings = Settings(protocol, regime, calibrate, prompts, tasks, order, allow_fewer, device)
    distinct_shots, distinct_seeds = sorted(set(shots)), sorted(set(seeds))
    cells = plan(names, params or {}, caches, distinct_shots, distinct_seeds, settings)
    for first in {id(cell.cache): cell for cell in cells}.values():
        _check_task(first, max(distinct_shots), settings)
    folder = Path(out).expanduser() if out is not None else _default_folder(caches, protocol, root)
    with opened(folder) as store:
        ahead = [cell for cell in cells if cell not in store]
        with CellReporter(ahead, found=len(cells) - len(ahead), shown=progress) as reporter:
            try:
                failures = _compute(ahead, store, reporter)
            finally:
                store.write_tables()
        done: dict[CellName, list[Record]] = {
            (cell.cache.name, cell.shots, cell.recipe.method, cell.seed): store[cell] for cell in cells if cell in store
        }
        results = Results(
            folder=folder.resolve(),
            settings=settings,
            methods=tuple(names),
            seeds=tuple(distinct_seeds),
            cells=done,
            failures=tuple(failures),
            ran=len(ahead) - len(failures),
            found=len(cells) - len(ahead),
        )
        store.write_shown(results.to_json())
    return results


def _compute(cells: Sequence[Cell], store: Store, reporter: CellReporter) -> list[str]:
    """Compute and keep cells; the reasons of those that failed."""
    failures: list[str] = []
    written = time.monotonic()
    drawn: tuple[object, Task] | None = None
    for cell in cells:
        reporter.begin(cell)
        began = time.monotonic()
        draw = (cell.cache.digest, cell.shots, cell.seed)
        if drawn is None or drawn[0] != draw:  # the cells of one draw follow each other
            drawn = draw, cell.draw()
        try:
            task = with_weights(drawn[1], cell.recipe, cell.seed)
            parts = cell.compute(task)
        except TaskError as error:
            if not cell.targets:
                raise  # not this method's fault: it would fail for all
            failures.append(f"FAILED {cell}: {error}")
        except (AdapterError, ValueError, RuntimeError, MemoryError, np.linalg.LinAlgError) as error:
            # One method that diverges or runs out of memory must not cost the others their table.
            failures.append(f"FAILED {cell}: {' '.join(str(error).split()) or type(error).__name__}")
        else:
            store.add(cell, [Record.of(cell, part, task) for part in parts])
            if time.monotonic() - written > SECONDS_BETWEEN_TABLES:
                store.write_tables()
                written = time.monotonic()
        reporter.end(cell, time.monotonic() - began)
    return failures


def _methods(methods: Sequence[str] | str, caches: Sequence[Cache]) -> list[str]:
    if methods == "all":
        methods = [name for name in METHODS if all(has_what_it_needs(METHODS[name], cache) for cache in caches)]
    elif isinstance(methods, str):
        methods = methods.split(",")
    return list(dict.fromkeys([BASELINE, *methods]))


def _check_task(cell: Cell, shots: int, settings: Settings) -> None:
    """Fail now, not after hours, where a cache has too few images or no rows that the regime needs."""
    draw = Task.sample(
        cell.cache, shots=shots, seed=cell.seed, allow_fewer=settings.allow_fewer, prompts=settings.prompts
    )
    if settings.regime is not None:
        settings.regime.held_out(draw)


def _default_folder(caches: Sequence[Cache], protocol: str, root: str | None) -> Path:
    return local_home(root) / "bench" / slug("+".join([*(cache.name for cache in caches), protocol]))
