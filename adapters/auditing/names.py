"""Whether the class names say what the images show: classes that zero-shot never finds, and texts that coincide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from adapters.arrays import Floats, Ints

NEAR = 0.25
"""Two texts nearly coincide where their distance is below this share of the median distance of nearest texts."""
FEW = 5
"""Images of a class, below which it is not said that zero-shot never finds it."""


class NeverFound(NamedTuple):
    """A class of which zero-shot gets no image: how many there are, and what most are taken for.

    `prompts` is the prompt set that finds most, and `recall` what it finds; None where none finds any.
    """

    name: str
    images: int
    taken_for: str
    prompts: str | None
    recall: float


class NearNames(NamedTuple):
    """Two classes whose texts nearly coincide.

    `accuracy` is that of telling the two apart by zero-shot, the mean of both classes (None: one has no images);
    `prompts` is the prompt set that separates them best, and `best` its accuracy; None where none does better.
    """

    one: str
    other: str
    cosine: float
    accuracy: float | None
    prompts: str | None
    best: float | None


def never_found(
    features: Floats, labels: Ints, texts: Mapping[str, Floats], used: str, names: tuple[str, ...]
) -> tuple[NeverFound, ...]:
    """Classes of at least `FEW` images of which zero-shot gets none, largest first.

    Args:
        features: unit rows (N, D) with a label.
        labels: class codes (N,).
        texts: unit rows (C, D) of each prompt set.
        used: the prompt set that is asked about.
        names: the C class names.
    """
    predicted = {prompts: (features @ weights.T).argmax(1) for prompts, weights in texts.items()}
    counts = np.bincount(labels, minlength=len(names))
    right = np.bincount(labels[predicted[used] == labels], minlength=len(names))
    found = []
    for code in np.flatnonzero((counts >= FEW) & (right == 0)).tolist():
        own = labels == code
        recalls = {prompts: float((of_set[own] == code).mean()) for prompts, of_set in predicted.items()}
        best = max(recalls, key=recalls.__getitem__)
        taken_for = names[int(np.bincount(predicted[used][own]).argmax())]
        hint = best if recalls[best] else None
        found.append(NeverFound(names[code], int(counts[code]), taken_for, hint, recalls[best]))
    return tuple(sorted(found, key=lambda each: -each.images))


def near_names(
    features: Floats, labels: Ints, texts: Mapping[str, Floats], used: str, names: tuple[str, ...]
) -> tuple[NearNames, ...]:
    """Pairs of classes whose texts nearly coincide, the nearest first; arguments as of `never_found`."""
    cosines = texts[used].astype(np.float64) @ texts[used].T
    distances = 1 - cosines
    np.fill_diagonal(distances, np.inf)
    limit = NEAR * float(np.median(distances.min(1))) if len(names) > 2 else 0.0
    ones, others = np.nonzero(np.triu(distances <= max(limit, 1e-6), 1))
    found = []
    for one, other in sorted(zip(ones.tolist(), others.tolist(), strict=True), key=lambda pair: distances[pair]):
        told = {prompts: _apart(features, labels, weights, one, other) for prompts, weights in texts.items()}
        now = told[used]
        best = max(told, key=lambda prompts: told[prompts] or 0.0)
        better = now is not None and (told[best] or 0.0) > now
        hint = (best, told[best]) if better else (None, None)
        found.append(NearNames(names[one], names[other], float(cosines[one, other]), now, *hint))
    return tuple(found)


def _apart(features: Floats, labels: Ints, weights: Floats, one: int, other: int) -> float | None:
    """Mean over two classes of the share of images nearer to their own text than to the other's."""
    toward = weights[one] - weights[other]
    sides = features[labels == one] @ toward > 0, features[labels == other] @ toward < 0
    return None if not all(map(len, sides)) else float(np.mean([side.mean() for side in sides]))
