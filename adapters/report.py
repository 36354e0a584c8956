"""What one run of `adapters fit` found: the numbers, what chose them, and where the head was saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Report:
    """One fitted head and its scores. Accuracies and ECE are fractions in [0, 1], times in seconds.

    Attributes:
        method: name of the method.
        dataset: name of the data set.
        model: open_clip architecture of the encoder.
        pretrained: tag of its weights.
        shots: images a class.
        seed: of the draw and of the training.
        select: regime that chose the hyper-parameters (`adapters.selection`).
        hyperparameters: as used, after selection.
        accuracy: `zero_shot` and `test` on the test split, `val` (None without a val split).
        ece: `zero_shot` and `test`, on the test split.
        seconds: `load`, `fit` (selection included) and `evaluate`.
        parameters: trained numbers.
        cache: where the cache is.
        cache_name: what it is called.
        cache_digest: what it was made from.
        prompts: name of the prompt set.
        classes: number of classes.
        rows: images of `support`, `val` (None without one) and `test`.
        indices: `file` that named the support (None: the seed did) and `digest` of the few-shot set.
        note: what must be said beside the numbers; may be empty.
        created: when, in UTC, as ISO 8601.
        run: folder of the saved head.
        temperature: what probabilities divide logits by; 1 unless calibration was asked for.
    """

    method: str
    dataset: str
    model: str
    pretrained: str
    shots: int
    seed: int
    select: str
    hyperparameters: dict[str, Any]
    accuracy: dict[str, float | None]
    ece: dict[str, float]
    seconds: dict[str, float]
    parameters: int
    cache: str
    cache_name: str
    cache_digest: str
    prompts: str
    classes: int
    rows: dict[str, int | None]
    indices: dict[str, str | None]
    note: str
    created: str
    run: str
    temperature: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-able values under the names above."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Report:
        """The inverse of `to_json`; keys of a later version are left out.

        Raises:
            KeyError: a key is missing.
        """
        given = {field.name: content[field.name] for field in fields(cls) if field.default is MISSING}
        return cls(**given, temperature=content.get("temperature", 1.0))  # reports before calibration lack it
