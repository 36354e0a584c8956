"""Class-incremental learning: classes arrive in tasks, and after each task all classes seen so far are told apart.

A head that offers `partial_fit(X, y, *, text)` trains on from its weights: X holds the new task's shots alone, `text`
all classes seen so far, and y indexes it. Any other head is fitted again on the shots of all seen classes: it needs a
memory of them, which the table says.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters.abilities import Incremental
from adapters.arrays import Ints
from adapters.bench.protocols.classes import ClassSubset
from adapters.bench.protocols.columns import Column, mean_of, of_part
from adapters.bench.protocols.learning import CONTINUED, REFITTED, Entrant, Exam, Part, assess
from adapters.bench.protocols.protocol import Protocol
from adapters.bench.protocols.settings import Settings
from adapters.errors import AdapterError, TaskError
from adapters.fitting.recipe import Learned
from adapters.head import Head
from adapters.methods import BASELINE
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from featcache.cache.reading import Cache

_STREAM = 2  # 0 and 1 are the draws of support and val (`adapters.tasks.sampling`)


def incremental(recipe: Entrant, task: Task, seed: int, targets: Sequence[Cache] = ()) -> list[Part]:
    """Accuracy over all seen classes after every one of T tasks; parts `task-1` to `task-T`."""
    tasks = recipe.settings.tasks
    assert tasks is not None  # `_check` has seen to it
    arrivals = class_order(task.text.class_names, seed, recipe.settings.class_order)
    if tasks > len(arrivals):
        raise TaskError(f"--tasks {tasks} given; cache {task.cache.name} has {len(arrivals)} classes: type fewer tasks")
    ends = np.cumsum([len(part) for part in np.array_split(arrivals, tasks)])
    head: Head | None = recipe.build(logit_scale=float(task.text.logit_scale), seed=seed)
    if not isinstance(head, Incremental):
        head = None
    parts = []
    for step, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True), start=1):
        seen = ClassSubset(task, arrivals[:end])
        if head is None:
            learned, how = recipe.learn(seen, seed), REFITTED
        else:
            learned, how = _continue(recipe, head, seen, start), CONTINUED
            head = learned.head
        how = "" if recipe.method == BASELINE else how
        parts.append(assess(f"task-{step}", learned, learned.head, Exam.of(seen), how))
    return parts


def class_order(names: Sequence[str], seed: int, order: Sequence[str] | None) -> Ints:
    """Class indices (C,) in their order of arrival: that of `order`, else a seeded permutation.

    Raises:
        TaskError: `order` is not a permutation of the class names.
    """
    if order is None:
        source = np.random.SeedSequence(entropy=seed, spawn_key=(_STREAM,))
        return np.random.default_rng(source).permutation(len(names))
    if sorted(order) != sorted(names):
        odd = sorted(set(order) ^ set(names))
        raise TaskError(
            f"class order names {len(order)} classes; expected each of the {len(names)} once: see {odd[:3]}"
        )
    return np.array([list(names).index(name) for name in order])


def _continue(recipe: Entrant, head: Head, seen: ClassSubset, start: int) -> Learned:
    """Train on with the shots of the classes from place `start` on; the first task also chooses hyper-parameters."""
    support = seen.support
    fresh = support.labels >= start
    inputs, labels = support.inputs[fresh], support.labels[fresh]
    notes = []
    began = time.perf_counter()
    if start == 0:
        head = recipe.choose(head, seen)
        notes.append(getattr(head, "selection_note_", ""))
    head = head.partial_fit(inputs, labels, text=seen.text)
    if recipe.calibrate and recipe.regime.on_shots:
        notes.append("not calibrated: the shots of earlier tasks are gone, so none can be left out")
    else:
        notes.append(recipe.calibrated(head, seen))
    return Learned(head, time.perf_counter() - began, tuple(filter(None, notes)))


def _columns(parts: Sequence[str]) -> list[Column]:
    last, average = of_part(parts[-1], "Last"), mean_of("Average", parts)
    return [last, average, *(of_part(part, part.replace("-", " ")) for part in parts)]


def _check(settings: Settings, caches: int) -> None:
    if settings.tasks is None or settings.tasks < 1:
        name, given = settings.protocol, settings.tasks
        raise AdapterError(f"--protocol {name} needs a number of tasks, got {given}: type --tasks 5")


def _about(settings: Settings) -> str:
    order = "as given" if settings.class_order else "drawn from the seed"
    return (
        "After every task, accuracy over all classes seen so far. Last: after the last task. Average: mean over the "
        f"tasks. {settings.tasks} tasks, order of the classes {order}."
    )


INCREMENTAL = Protocol(
    name="incremental",
    meaning="classes come in tasks; after each, test on all classes seen so far",
    examine=incremental,
    columns=_columns,
    check=_check,
    identity=lambda settings: {"tasks": settings.tasks, "class_order": settings.class_order},
    about=_about,
)
