"""Cross-dataset: fitted on one cache, tested on others among their own classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from adapters.bench.protocols.classes import ClassSubset
from adapters.bench.protocols.columns import Column, mean_of, of_part
from adapters.bench.protocols.learning import Entrant, Exam, Part, assess
from adapters.bench.protocols.other_classes import other_classes
from adapters.bench.protocols.protocol import Protocol
from adapters.bench.protocols.settings import Settings
from adapters.errors import AdapterError, TaskError
from adapters.tasks.same_encoder import first_difference
from adapters.tasks.split_rows import SplitRows, read_split
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def cross_dataset(recipe: Entrant, task: Task, seed: int, targets: Sequence[Cache]) -> list[Part]:
    """Fit on one cache; test on it and on others, each among its own classes.

    A target with the very class names of the source (a shifted version of it) is scored by the head as it is. Targets
    use their default prompts.
    """
    source = ClassSubset.whole(task)
    learned = recipe.learn(source, seed)
    parts = [assess(task.cache.name, learned, learned.head, Exam.of(source))]
    for target in targets:
        text, test = target.text, read_split(target, "test")
        if text.class_names == task.text.class_names:
            head, how = learned.head, ""
        else:
            head, how = other_classes(learned.head, text, source.support, partial(_shots, target, task, recipe))
        every = np.ones(len(test), dtype=bool)
        exam = Exam(target.name, target.digest, test.images, test.labels, every, len(text.class_names))
        parts.append(assess(target.name, learned, head, exam, how))
    return parts


def _shots(target: Cache, task: Task, recipe: Entrant) -> SplitRows:
    """The shots of another cache, drawn like the task's."""
    return Task.sample(target, shots=task.shots, seed=task.seed, allow_fewer=recipe.settings.allow_fewer).support


def check_same_encoder(caches: Sequence[Cache]) -> None:
    """Refuse caches of different encoders.

    Raises:
        TaskError: names the two caches and what differs.
    """
    source = caches[0]
    for target in caches[1:]:
        if fact := first_difference(source.encoder, target.encoder):
            raise TaskError(
                f"cache {target.name} comes from another encoder than {source.name} ({fact} differs): "
                "extract both with the same --model and --pretrained"
            )


def _columns(parts: Sequence[str]) -> list[Column]:
    source, *targets = parts
    return [mean_of("mean of targets", targets), of_part(source, f"{source} (source)"), *map(of_part, targets)]


def _check(settings: Settings, caches: int) -> None:
    settings.refuse_tasks()
    if caches < 2:
        raise AdapterError(
            f"--protocol {settings.protocol} needs the cache to fit on and others to test on: type --cache SOURCE "
            "--cache TARGET"
        )


def _divide(caches: Sequence[Cache]) -> tuple[list[Cache], list[Cache]]:
    check_same_encoder(caches)
    return [caches[0]], list(caches[1:])


CROSS_DATASET = Protocol(
    name="cross-dataset",
    meaning="fit on the first cache, test on the others, which the same encoder made",
    examine=cross_dataset,
    columns=_columns,
    check=_check,
    divide=_divide,
    about=lambda settings: "Fitted on the source, tested on every target among its own classes.",
)
