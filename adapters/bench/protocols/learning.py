"""One head of a bench: built, chosen, fitted and calibrated under the regime, then scored on a part of the protocol."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters import metrics
from adapters.arrays import Floats, Ints
from adapters.bench.protocols.classes import ClassSubset
from adapters.bench.protocols.settings import Settings
from adapters.fitting.recipe import Learned, Recipe, hyperparameters
from adapters.head import Head

BY_TEXT = "text"
BY_OWN = "for_classes"
ADAPTED = "adapted"
REFITTED = "refitted"
CONTINUED = "continued"
HOW = {
    "": "the fitted head itself",
    BY_TEXT: "scored by class text, which is zero-shot: what the head learned is bound to its classes",
    BY_OWN: "by what was learned on other classes, with the text of these: no shot of them was seen",
    ADAPTED: "adapted online, without training, to shots of the classes it is tested on; no other method sees them, so "
    "it is not ranked",
    REFITTED: "refitted on all seen classes (memory of shots)",
    CONTINUED: "trained on from its weights, on the new task's shots alone",
}
"""How a head came to score a part of a protocol."""


@dataclass(frozen=True)
class Entrant(Recipe):
    """A recipe in a bench.

    Attributes:
        settings: of the bench.
    """

    settings: Settings = field(kw_only=True)

    @classmethod
    def of(cls, method: str, shots: int, params: Mapping[str, Any], settings: Settings) -> Entrant:
        """The method's recipe for K shots under the settings of the bench."""
        return cls(method, shots, params, settings.regime, settings.calibrate, settings.device, settings=settings)


@dataclass(frozen=True, eq=False)
class Part:
    """Scores of one part of a protocol: all classes, base or new ones, a task, another cache.

    Attributes:
        name: which part.
        how: a key of `HOW`.
        test_cache: name of the cache whose test split was scored, and `test_digest` its digest.
        classes: C of this part.
        tested: which rows (N,) of that whole test split belong to the part.
        correct: whether each of those rows was right, (tested.sum(),).
        accuracy: a fraction.
        ece: of the head's probabilities, a fraction; `ece_uncalibrated` at a temperature of 1.
        temperature: of the head.
        reliability: rows, accuracy and confidence of 15 bins.
        seconds_fit: of the fit that this part needed; `seconds_predict` of its logits.
        parameters: trained numbers.
        hyperparameters: as used.
        notes: what must be said.
    """

    name: str
    how: str
    test_cache: str
    test_digest: str
    classes: int
    tested: npt.NDArray[np.bool_]
    correct: npt.NDArray[np.bool_]
    accuracy: float
    ece: float
    ece_uncalibrated: float
    temperature: float
    reliability: dict[str, list[float]]
    seconds_fit: float
    seconds_predict: float
    parameters: int
    hyperparameters: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Exam:
    """Rows to be scored on, and which rows of their cache's whole test split they are."""

    cache: str
    digest: str
    images: Floats
    labels: Ints
    tested: npt.NDArray[np.bool_]
    classes: int

    @classmethod
    def of(cls, subset: ClassSubset) -> Exam:
        """The test rows of some classes of a task."""
        cache, test = subset.task.cache, subset.test
        return cls(cache.name, cache.digest, test.images, test.labels, subset.tested, len(subset.classes))


def assess(name: str, learned: Learned, head: Head, exam: Exam, how: str = "") -> Part:
    """Score a head on rows whose labels it has not seen; `learned` is the head that was fitted for it."""
    began = time.perf_counter()
    logits = head.decision_function(exam.images)
    seconds = time.perf_counter() - began
    tempered = logits / head.temperature_
    bins = metrics.reliability(tempered, exam.labels)
    correct = logits.argmax(1) == exam.labels
    return Part(
        name=name,
        how=how,
        test_cache=exam.cache,
        test_digest=exam.digest,
        classes=exam.classes,
        tested=exam.tested,
        correct=correct,
        accuracy=float(correct.mean()),
        ece=bins.ece,
        ece_uncalibrated=float(metrics.ece(logits, exam.labels)),
        temperature=float(head.temperature_),
        reliability={key: values.tolist() for key, values in bins._asdict().items()},
        seconds_fit=learned.seconds,
        seconds_predict=seconds,
        parameters=int(learned.head.parameters_),
        hyperparameters=hyperparameters(learned.head),
        notes=learned.notes,
    )
