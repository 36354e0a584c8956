"""The protocols that fit once a cell: few-shot, base-to-new, cross-dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters import methods
from adapters.base import Head
from adapters.bench.classes import ClassSubset
from adapters.bench.learning import ADAPTED, BY_OWN, BY_TEXT, Exam, Part, Recipe, assess
from adapters.errors import TaskError
from adapters.task import Task, read_split

if TYPE_CHECKING:
    from adapters.bench.classes import TextOfClasses
    from featcache.cache import Cache
    from featcache.text import TextFeatures

SAME_ENCODER = ("weights_sha256", "transform_sha256")
"""What must agree between the encoders of two caches for a head of one to be of any use on the other."""


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
    head, how = other_classes(learned.head, new.text)
    return [
        assess("base", learned, learned.head, Exam.of(base)),
        assess("new", learned, head, Exam.of(new), how),
    ]


def cross_dataset(recipe: Recipe, task: Task, seed: int, targets: Sequence[Cache]) -> list[Part]:
    """Fit on one cache; test on it and on others, each among its own classes.

    A target with the very class names of the source (a shifted version of it) is scored by the head as it is. A head
    that offers `adapt(X, y, *, text)` is adapted to the K shots of the target. Targets use their default prompts.
    """
    source = ClassSubset.whole(task)
    learned = recipe.learn(source, seed)
    parts = [assess(task.cache.name, learned, learned.head, Exam.of(source))]
    for target in targets:
        text, test = target.text, read_split(target, "test")
        if text.class_names == task.text.class_names:
            head, how = learned.head, ""
        elif hasattr(learned.head, "adapt"):
            shots = Task.sample(target, shots=task.shots, seed=seed, allow_fewer=recipe.settings.allow_fewer).support
            head, how = learned.head.adapt(shots.inputs, shots.labels, text=text), ADAPTED
        else:
            head, how = other_classes(learned.head, text)
        every = np.ones(len(test), dtype=bool)
        exam = Exam(target.name, target.digest, test.images, test.labels, every, len(text.class_names))
        parts.append(assess(target.name, learned, head, exam, how))
    return parts


def other_classes(head: Head, text: TextOfClasses | TextFeatures) -> tuple[Head, str]:
    """A head for classes that `head` was not fitted on, and how it came about.

    Where what was learned is bound to the fitted classes, that is zero-shot.
    """
    transferred = head.for_classes(text)
    if transferred is not None:
        return transferred, "" if head.method == "zero-shot" else BY_OWN
    zero_shot = methods.get("zero-shot")(logit_scale=float(text.logit_scale))
    rows = text.weights()
    return zero_shot.fit(rows, np.arange(len(rows)), text=text), BY_TEXT


def check_same_encoder(caches: Sequence[Cache]) -> None:
    """Refuse caches of different encoders, or of one name.

    Raises:
        TaskError: names the two caches and what differs.
    """
    source = caches[0]
    for target in caches[1:]:
        for fact in SAME_ENCODER:
            if target.encoder.get(fact) != source.encoder.get(fact):
                raise TaskError(
                    f"cache {target.name} comes from another encoder than {source.name} ({fact} differs): "
                    "extract both with the same --model and --pretrained"
                )
