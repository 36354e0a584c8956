"""A split image by image: what a head says of each, how sure it is, and the shot that is most like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.answers.answers import Answers
from adapters.arrays import Floats, Ints, unit
from adapters.errors import AdapterError
from adapters.metrics import row_blocks, softmax
from adapters.show.tidy import parquet_bytes
from featcache.places.whole import write_whole
from featcache.show.spreadsheet import spreadsheet

if TYPE_CHECKING:
    from adapters.tasks.split_rows import SplitRows

COLUMNS = {
    "id": "str",
    "split": "str",
    "label": "str",
    "predicted": "str",
    "probability": "float",
    "label_probability": "float",
    "margin": "float",
    "set": "str",
    "rejected": "bool",
    "nearest": "str",
}
"""What is told of an image, and its type: the probabilities of the predicted class and of the label, the margin between
the two most probable classes (all in [0, 1]), the set of classes and whether it is none of them (where that was
learned), and the id of the most similar shot."""

TOGETHER = "together"
"""One column more where images were not each answered by itself: what must be said of that."""

SUFFIXES = (".csv", ".parquet")
COSINES = 1 << 24
"""Of images to shots that are in memory at once: 16 shots of 1,000 classes are many."""


def image_rows(
    logits: Floats, rows: SplitRows, split: str, class_names: Sequence[str], support: SplitRows, answers: Answers
) -> list[dict[str, Any]]:
    """A record an image under the names of `COLUMNS`, in the order of the split.

    Args:
        logits: (N, C), of which the soft-max are the head's probabilities.
        rows: the N images.
        split: what their split is called.
        class_names: C.
        support: the shots, rows of the train split.
        answers: what the head answers beside one class.
    """
    names = np.asarray(class_names, dtype=object)
    nearest = nearest_shots(rows, support, same_split=split == "train")[:, 0]
    found: list[dict[str, Any]] = []
    refused = _refused(answers, rows)
    for block in row_blocks(len(rows)):
        p, labels = softmax(logits[block]), rows.labels[block]
        each = np.arange(len(p))
        predicted = logits[block].argmax(1)
        second = np.partition(p, -2, axis=1)[:, -2] if p.shape[1] > 1 else np.zeros(len(p))
        columns = (
            rows.ids[block].tolist(),
            [split] * len(p),
            names[labels].tolist(),
            names[predicted].tolist(),
            p[each, predicted].tolist(),
            p[each, labels].tolist(),
            (p[each, predicted] - second).tolist(),
            _sets(answers, p, class_names),
            refused[block],
            [None if shot < 0 else str(support.ids[shot]) for shot in nearest[block]],
        )
        found += [dict(zip(COLUMNS, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return found


def _refused(answers: Answers, rows: SplitRows) -> list[bool | None]:
    found: list[bool | None] = []
    for images in rows.blocks():
        rejected = answers.rejected(images)
        found += [None] * len(images) if rejected is None else rejected.tolist()
    return found


def _sets(answers: Answers, p: NDArray[np.float64], class_names: Sequence[str]) -> list[str | None]:
    sets = answers.sets(p)
    if sets is None:
        return [None] * len(p)
    return ["; ".join(class_names[c] for c in np.flatnonzero(row).tolist()) for row in sets]


def nearest_shots(rows: SplitRows, support: SplitRows, *, same_split: bool, most: int = 1) -> Ints:
    """The shots (N, K) with the largest cosines to each image, nearest first; -1 in place of the image itself.

    Args:
        rows: the N images.
        support: the shots.
        same_split: both are of one split, so that an image may be a shot: it is not compared with itself.
        most: K, of which there are no more than shots.
    """
    shots, found, start = unit(support.images), [], 0
    step = max(1, COSINES // len(shots))
    for block in rows.blocks():
        for images in (block[first : first + step] for first in range(0, len(block), step)):
            cosines = unit(images) @ shots.T
            if same_split:
                cosines[rows.rows[start : start + len(images), None] == support.rows] = -np.inf
            best = np.argsort(-cosines, axis=1, kind="stable")[:, :most] if most > 1 else cosines.argmax(1)[:, None]
            found.append(np.where(np.isneginf(np.take_along_axis(cosines, best, 1)), -1, best))
            start += len(images)
    return np.concatenate(found)


def check_images_file(path: Path) -> None:
    """Refuse a file of another kind, before the work.

    Raises:
        AdapterError: another suffix than those of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise AdapterError(f"--images {path} given; expected a file that ends in {' or '.join(SUFFIXES)}")


def write_image_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the records whole: CSV that spreadsheets open as it is, or Parquet.

    Raises:
        AdapterError: it cannot be written.
    """
    columns = COLUMNS | ({TOGETHER: "str"} if TOGETHER in rows[0] else {})
    if path.suffix == ".csv":
        content = spreadsheet(tuple(columns), [tuple(row.values()) for row in rows]).encode()
    else:
        content = parquet_bytes(rows, tuple(columns), columns)
    try:
        write_whole(path.expanduser(), content)
    except OSError as error:
        raise AdapterError(f"cannot write {path} ({error.strerror or error}): give another file as --images") from error
