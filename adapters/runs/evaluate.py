"""A saved run against the cache that it was fitted on: scored again, class by class."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.answers.answers import told_of
from adapters.metrics import ece
from adapters.runs.image_rows import TOGETHER, image_rows
from adapters.runs.its_labels import labels_digest
from adapters.runs.opened import OpenedRun, open_run, shots_of
from adapters.runs.seen_together import adjusted_of
from adapters.scores import Scores, logits_in_blocks, score_logits
from adapters.tasks.split_rows import SplitRows, read_split
from adapters.together.asked import Asked

if TYPE_CHECKING:
    from adapters.together.adjusted import Adjusted
    from featcache.cache.reading import Cache

TOP_CONFUSIONS = 10


@dataclass(frozen=True)
class Evaluation:
    """A saved run, scored again.

    Attributes:
        run: its folder.
        method: name of its method.
        cache: where the cache is.
        split: the split that was scored.
        images: rows scored.
        accuracy: recomputed, in [0, 1].
        ece: recomputed, in [0, 1], over bins of equal width.
        scores: all of them, with intervals.
        stored: `accuracy` and `ece` as `adapters fit` saved them; None for what it did not score on these labels.
        reproduced: whether the recomputed accuracy is the stored one; None where nothing was stored.
        per_class: `class`, `images` and `accuracy` (None without images) of every class, in class order.
        confusions: `class`, `predicted`, `images` and `share` (of the class's images), most frequent first, at most 10.
        by_image: a record an image (`adapters.runs.image_rows`); None where it was not asked for.
        answers: what it answers beside one class, as `Report.answers`, on this split; None: nothing.
        labels: the file of mended labels that it was scored on, and what that changes; None: the data set's own.
        note: what must be known of the cache's embeddings; may be empty.
        together: of what was asked of the images together: `how`, what is `said` beside all these numbers, `images`
            seen and `shares` of the classes; None: the head answered each image by itself.
    """

    run: str
    method: str
    cache: str
    split: str
    images: int
    accuracy: float
    ece: float
    scores: Scores
    stored: dict[str, float | None]
    reproduced: bool | None
    per_class: list[dict[str, Any]]
    confusions: list[dict[str, Any]]
    by_image: list[dict[str, Any]] | None = None
    labels: str | None = None
    answers: dict[str, Any] | None = None
    note: str = ""
    together: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON-able values under the names above, without the images."""
        values = {**asdict(replace(self, by_image=None)), "scores": self.scores.to_json()}
        del values["by_image"]
        return values


def evaluate(
    run: str | Path,
    *,
    cache: Cache | None = None,
    split: str = "test",
    labels: str | Path | None = None,
    root: str | None = None,
    device: str = "auto",
    by_image: bool = False,
    prior: str | None = None,
    transductive: bool = False,
) -> Evaluation:
    """Score a saved run on a split of its cache.

    Args:
        run: folder of the run, or its name (`adapters.runs.catalogue.find_run`).
        cache: an opened cache; None opens the one that the run was fitted on. It must be the same one.
        split: `train`, `val` or `test`.
        labels: a file of mended labels to score on; None: those that the run was fitted with.
        root: where runs are looked for.
        device: where the head computes.
        by_image: also tell of every image.
        prior: score at class frequencies that are `uniform`, found in the split's unlabelled images by `em` or `bbse`,
            or named by a CSV file (`adapters.together`).
        transductive: score all images of the split together.

    Raises:
        RunError: no such run, it is broken, or it does not belong to this cache.
        CacheError: the run's cache is gone.
        TaskError: the cache has no such split.
    """
    asked = Asked(prior, transductive)
    opened = open_run(run, cache=cache, labels=labels, root=root, device=device)
    report, head, answers, cache = opened.report, opened.head, opened.answers, opened.cache
    rows = read_split(cache, split)
    (logits,) = logits_in_blocks((head,), rows.blocks())
    adjusted = adjusted_of(opened, asked, split) if asked.any else None
    if adjusted is not None:
        logits = adjusted(rows.images, logits)
    scores = score_logits(logits, rows.labels)
    same_labels = (cache.mended.digest if cache.mended else None) == labels_digest(report)
    own = same_labels and not (report.refit and split == "val")  # which was scored by the head before
    accuracy, width_ece = (found.get(split) if own else None for found in (report.accuracy, report.ece))
    stored = {"accuracy": accuracy, "ece": width_ece}
    names = opened.class_names
    counts = confusion_matrix(logits, rows.labels, len(names))
    return Evaluation(
        run=str(opened.folder),
        method=report.method,
        cache=cache.path,
        split=split,
        labels=cache.mended.told if cache.mended else None,
        note=cache.caveat,
        images=len(rows),
        accuracy=scores.accuracy,
        ece=ece(logits, rows.labels),
        scores=scores,
        stored=stored,
        reproduced=None if stored["accuracy"] is None or adjusted else scores.accuracy == stored["accuracy"],
        per_class=per_class(counts, names),
        confusions=top_confusions(counts, names),
        answers=told_of(answers, head, rows),
        by_image=_by_image(logits, rows, split, opened, adjusted) if by_image else None,
        together=dict(adjusted.to_json(names)) if adjusted else None,
    )


def _by_image(
    logits: npt.NDArray[np.float32], rows: SplitRows, split: str, opened: OpenedRun, adjusted: Adjusted | None
) -> list[dict[str, Any]]:
    shots = shots_of(opened.folder, opened.cache)
    found = image_rows(logits, rows, split, opened.class_names, shots, opened.answers)
    return found if adjusted is None else [{**row, TOGETHER: adjusted.said} for row in found]


def confusion_matrix(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.int64]:
    """Images of each class (row) by predicted class (column), (C, C)."""
    flat = labels * classes + logits.argmax(axis=1)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def per_class(counts: npt.NDArray[np.int64], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Images and accuracy of every class; the accuracy is None where there are no images."""
    totals = counts.sum(axis=1)
    return [
        {"class": name, "images": int(total), "accuracy": int(right) / int(total) if total else None}
        for name, total, right in zip(names, totals, counts.diagonal(), strict=True)
    ]


def top_confusions(
    counts: npt.NDArray[np.int64], names: tuple[str, ...], limit: int = TOP_CONFUSIONS
) -> list[dict[str, Any]]:
    """The most frequent wrong answers, ties in class order."""
    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        {
            "class": names[true],
            "predicted": names[predicted],
            "images": int(wrong[true, predicted]),
            "share": int(wrong[true, predicted]) / int(counts[true].sum()),
        }
        for true, predicted in pairs
        if wrong[true, predicted]
    ]
