"""How many images every class has, and which are too few to measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adapters.arrays import Ints
from adapters.auditing.pool import Pool
from adapters.runs.remarks import FEW_ROWS_OF_A_CLASS


@dataclass(frozen=True)
class ClassFacts:
    """A class.

    Attributes:
        name: its name.
        counts: labelled images of each split.
        zero_shot_recall: share of its images that zero-shot gets right; None without images.
    """

    name: str
    counts: dict[str, int]
    zero_shot_recall: float | None

    @property
    def measured(self) -> int:
        """Images that it is measured on: those of the test split, or without one all."""
        return self.counts["test"] if "test" in self.counts else sum(self.counts.values())

    @property
    def small(self) -> bool:
        """Whether it has too few images to measure."""
        return self.measured < FEW_ROWS_OF_A_CLASS


def class_facts(pool: Pool, predicted: Ints, names: tuple[str, ...]) -> tuple[ClassFacts, ...]:
    """The facts of every class, given zero-shot's answers (N,)."""
    counts = {
        split: np.bincount(pool.labels[pool.of_split(split) & pool.labelled], minlength=len(names))
        for split in pool.splits
    }
    right = np.bincount(pool.labels[pool.labelled & (predicted == pool.labels)], minlength=len(names))
    total = np.sum([*counts.values()], axis=0)
    return tuple(
        ClassFacts(
            name,
            {split: int(of_split[code]) for split, of_split in counts.items()},
            int(right[code]) / int(total[code]) if total[code] else None,
        )
        for code, name in enumerate(names)
    )
