"""The protocols that fit once a cell: few-shot, base-to-new, cross-dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from adapters import methods
from adapters.bench.protocols.classes import ClassSubset
from adapters.bench.protocols.learning import ADAPTED, BY_OWN, BY_TEXT, Exam, Part, Recipe, assess
from adapters.errors import TaskError
from adapters.head import Head
from adapters.tasks.same_encoder import first_difference
from adapters.tasks.task import Rows, Task, read_split

if TYPE_CHECKING:
    from adapters.bench.protocols.classes import TextOfClasses
    from featcache.cache.reading import Cache
    from featcache.cache.text_sets import TextFeatures


def few_shot(recipe: Recipe, task: Task, seed: int) -> list[Part]:
    """Fit on all classes, test on all classes."""
    everything = ClassSubset.whole(task)
    learned = recipe.learn(everything, seed)
    return [assess("all", learned, learned.head, Exam.of(everything))]


def base_to_new(recipe: Recipe, task: Task, seed: int) -> list[Part]:
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


def cross_dataset(recipe: Recipe, task: Task, seed: int, targets: Sequence[Cache]) -> list[Part]:
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


def other_classes(
    head: Head, text: TextOfClasses | TextFeatures, fitted: Rows, shots: Callable[[], Rows]
) -> tuple[Head, str]:
    """A head for classes that `head` was not fitted on, and how it came about.

    A head that offers `adapt(X, y, *, text)`, an online call, gets the classes' `shots`. One that offers
    `for_new_classes(X, *, text)` gets the rows that it was `fitted` on. Where what was learned is bound to the fitted
    classes, the answer is zero-shot.
    """
    if hasattr(head, "adapt"):
        rows = shots()
        return head.adapt(rows.inputs, rows.labels, text=text), ADAPTED
    if hasattr(head, "for_new_classes"):
        return head.for_new_classes(fitted.inputs, text=text), BY_OWN
    transferred = head.for_classes(text)
    if transferred is not None:
        return transferred, "" if head.method == "zero-shot" else BY_OWN
    zero_shot = methods.get("zero-shot")(logit_scale=float(text.logit_scale))
    weights = text.weights()
    return zero_shot.fit(weights, np.arange(len(weights)), text=text), BY_TEXT


def _shots(target: Cache, task: Task, recipe: Recipe) -> Rows:
    """The shots of another cache, drawn like the task's."""
    return Task.sample(target, shots=task.shots, seed=task.seed, allow_fewer=recipe.settings.allow_fewer).support


def check_same_encoder(caches: Sequence[Cache]) -> None:
    """Refuse caches of different encoders, or of one name.

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
