"""Answers on disk, beside the head that they belong to: thresholds in its config, arrays in a file of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from adapters.answers.answers import Answers
from adapters.answers.likeness import Likeness
from adapters.errors import RunError
from featcache.places.whole import write_whole
from featcache.records import Malformed, checked


@dataclass(frozen=True)
class AnswersConfig:
    """What a head's config says of its answers.

    Attributes:
        reject: share of known images that may be refused; None: none are.
        threshold: of the score; None where none is refused.
        coverage: share of images whose class is to be in their set; None: there are no sets.
        note: what must be said beside them.
        sha256: of the file with the arrays.
    """

    reject: float | None
    threshold: float | None
    coverage: float | None
    note: str
    sha256: str


def write_answers(answers: Answers, path: Path) -> dict[str, Any]:
    """Write the arrays, and give what the head's config is to say of them under `answers`."""
    arrays: dict[str, np.ndarray] = {}
    if answers.likeness is not None:
        arrays = {"prototypes": answers.likeness.prototypes, "centre": answers.likeness.centre}
    if answers.thresholds is not None:
        arrays["thresholds"] = answers.thresholds
    content = save_tensors({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    write_whole(path, content)
    threshold = answers.threshold if np.isfinite(answers.threshold) else None
    digest = hashlib.sha256(content).hexdigest()
    return asdict(AnswersConfig(answers.reject, threshold, answers.coverage, answers.note, digest))


def read_answers(path: Path, config: Mapping[str, Any]) -> Answers:
    """The answers of a saved head by its config; none where it was not asked for any.

    Raises:
        RunError: they are gone or damaged.
    """
    if not config.get("answers"):
        return Answers()
    try:
        told = checked(config["answers"], AnswersConfig)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != told.sha256:
            raise Malformed("it is not what was written")
        arrays = load_tensors(content)
        like = None if told.reject is None else Likeness(arrays["prototypes"], arrays["centre"])
        thresholds = None if told.coverage is None else arrays["thresholds"]
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}; fit again") from error
    except (ValueError, KeyError, SafetensorError) as error:
        raise RunError(f"{path} is damaged ({error}); fit again") from error
    threshold = -np.inf if told.threshold is None else told.threshold
    return Answers(told.reject, like, threshold, told.coverage, thresholds, told.note)
