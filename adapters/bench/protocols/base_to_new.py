"""Base-to-new: fitted on one half of the classes, tested on either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters.bench.protocols.classes import ClassSubset
from adapters.bench.protocols.columns import harmonic_mean_of, of_part
from adapters.bench.protocols.learning import Entrant, Exam, Part, assess
from adapters.bench.protocols.other_classes import other_classes
from adapters.bench.protocols.protocol import Protocol
from adapters.errors import TaskError
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def base_to_new(recipe: Entrant, task: Task, seed: int, targets: Sequence[Cache] = ()) -> list[Part]:
    """Fit on the base classes; test on base and on new classes, each among its own.

    CoOp's halves: of C sorted class labels the first ceil(C / 2) are base, the rest new. The shots were drawn before.
    """
    classes = np.arange(len(task.text.class_names))
    if len(classes) < 2:
        raise TaskError(f"cache {task.cache.name} has 1 class; base-to-new halves them: give a cache with 2 or more")
    half = -(-len(classes) // 2)
    base, new = ClassSubset(task, classes[:half]), ClassSubset(task, classes[half:])
    learned = recipe.learn(base, seed)
    head, how = other_classes(learned.head, new.text, base.support, lambda: new.support)
    return [
        assess("base", learned, learned.head, Exam.of(base)),
        assess("new", learned, head, Exam.of(new), how),
    ]


BASE_TO_NEW = Protocol(
    name="base-to-new",
    meaning="fit on the first half of the classes, test on either half among its own classes (CoOp)",
    examine=base_to_new,
    columns=lambda parts: [harmonic_mean_of("HM", "base", "new"), of_part("base"), of_part("new")],
    about=lambda settings: (
        "HM: harmonic mean of the mean base and the mean new accuracy, each averaged over seeds and "
        "caches first (the published convention); its ± is the spread of the seeds' own HM."
    ),
)
