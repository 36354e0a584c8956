"""Sets to measure methods on: caches by name, and files of real features, which are no part of this project.

A file is an .npz with `text_features` (C, D), `train16_features` and `train16_labels` (16 rows a class), as well as
`test_features` and `test_labels`; its draws of K shots are taken from the 16. `NAME:noisy` is a hard case made of it:
the 25 classes that zero-shot knows best and that look most alike, every image moved by twice the deviation of another
image from its class. Few shots say little there, as in fine-grained sets, while the texts stay good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.arrays import Floats, Ints, unit
from adapters.tasks.task import Task
from featcache.cache.catalogue import open_cache

LOGIT_SCALE = 100.0
CLASSES_OF_NOISY, KNOWN, MOVED = 25, 0.9, 2.0


@dataclass(frozen=True)
class Text:
    """Class text as heads take it."""

    rows: Floats
    logit_scale: float

    def weights(self) -> Floats:
        """Unit rows (C, D)."""
        return self.rows


@dataclass(frozen=True)
class FewShots:
    """What a head learns from and is scored on."""

    X: Floats
    y: Ints
    text: Text
    test: Floats
    labels: Ints


@dataclass(frozen=True)
class FeatureSet:
    """A set by its name."""

    name: str
    root: str | None = None

    def draws(self, shots: int, seeds: range) -> Iterator[FewShots]:
        """A draw of K shots a class for every seed; of 16 from a file there is only one."""
        path, _, kind = self.name.partition(":")
        if not path.endswith(".npz"):
            cache = open_cache(self.name, self.root)
            text = Text(cache.text.weights(), float(cache.text.logit_scale))
            for seed in seeds:
                task = Task.sample(cache, shots=shots, seed=seed)
                yield FewShots(task.support.images, task.support.labels, text, task.test.images, task.test.labels)
            return
        rows, X, y, test, labels = _noisy(*_read(Path(path))) if kind == "noisy" else _read(Path(path))
        for seed in seeds if shots < 16 else seeds[:1]:
            drawn = np.concatenate(
                [np.random.default_rng([seed, c]).permutation(np.flatnonzero(y == c))[:shots] for c in np.unique(y)]
            )
            yield FewShots(X[drawn], y[drawn], Text(rows, LOGIT_SCALE), test, labels)

    @property
    def title(self) -> str:
        """Its name without the folder that it lies in."""
        return self.name.rpartition("/")[2].replace(".npz", "")

    @property
    def real(self) -> bool:
        """Whether its features are those of a real encoder."""
        return ".npz" in self.name


Whole = tuple[Floats, Floats, Ints, Floats, Ints]
"""Text, shots to draw from, their labels, test rows, their labels."""


def _read(path: Path) -> Whole:
    with np.load(path) as content:
        names = ("train16_features", "train16_labels", "test_features", "test_labels")
        X, y, test, labels = (content[name] for name in names)
        return unit(content["text_features"]), unit(X), y.astype(np.int64), unit(test), labels.astype(np.int64)


def _noisy(text: Floats, X: Floats, y: Ints, test: Floats, labels: Ints) -> Whole:
    right = (test @ text.T).argmax(1) == labels
    means = unit(np.stack([X[y == c].mean(0) for c in range(len(text))]))
    alike = means @ means.T - 2 * np.eye(len(text), dtype=np.float32)
    known = np.array([c for c in range(len(text)) if right[labels == c].mean() >= KNOWN])
    nearest = np.sort(alike[np.ix_(known, known)], axis=1)[:, -3:].mean(1)
    kept = np.sort(known[np.argsort(-nearest)[:CLASSES_OF_NOISY]])
    codes = np.full(len(text), -1)
    codes[kept] = np.arange(len(kept))
    (X, y), (test, labels) = ((rows[codes[t] >= 0], codes[t][codes[t] >= 0]) for rows, t in ((X, y), (test, labels)))
    deviations = X - np.stack([X[y == c].mean(0) for c in range(len(kept))])[y]
    rng = np.random.default_rng(0)

    def moved(rows: Floats) -> Floats:
        others = deviations[rng.integers(len(deviations), size=len(rows))]
        return unit(rows + np.float32(MOVED) * others * rng.choice([-1, 1], size=(len(rows), 1)).astype(np.float32))

    return text[kept], moved(X), y, moved(test), labels
