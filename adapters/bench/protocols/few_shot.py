"""Few-shot: K shots of every class, tested on every class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapters.bench.protocols.classes import ClassSubset
from adapters.bench.protocols.columns import of_part
from adapters.bench.protocols.learning import Entrant, Exam, Part, assess
from adapters.bench.protocols.protocol import Protocol
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def few_shot(recipe: Entrant, task: Task, seed: int, targets: Sequence[Cache] = ()) -> list[Part]:
    """Fit on all classes, test on all classes."""
    everything = ClassSubset.whole(task)
    learned = recipe.learn(everything, seed)
    return [assess("all", learned, learned.head, Exam.of(everything))]


FEW_SHOT = Protocol(
    name="few-shot",
    meaning="fit on K shots of every class, test on every class",
    examine=few_shot,
    columns=lambda parts: [of_part("all")],
)
