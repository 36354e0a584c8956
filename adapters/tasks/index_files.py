"""Few-shot index files: which images a few-shot set consists of, as JSON that other people's code reads.

The layout is the one in which linzhiqiu/cross_modal_adaptation publishes the draws of CoOp's eleven data sets::

    {"train": {"data": [{"impath": ..., "label": 0, "classname": ...}, ...], "indices": [275, ...]},
     "val":   {"data": [...], "indices": [...]}}

`indices` are rows of one particular listing and mean nothing in another, so images are found by `impath` alone, as far
as its last path components agree with an id of the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.errors import TaskError
from featcache.records import parse_json


@dataclass(frozen=True)
class IndexEntry:
    """One image of a few-shot set, as the file names it."""

    impath: str
    label: int


@dataclass(frozen=True)
class IndexFile:
    """A few-shot set: `train` is the support, `val` (may be empty) the few-shot validation images."""

    name: str
    train: tuple[IndexEntry, ...]
    val: tuple[IndexEntry, ...]


def read_index_file(path: Path | str) -> IndexFile:
    """Read an index file.

    Raises:
        TaskError: there is no such file, or it is not laid out as above.
    """
    path = Path(path)
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(
            f"index file {path} cannot be read ({error.strerror}): type --indices with the path of a "
            "shot_K-seed_S.json, or leave --indices out"
        ) from error
    except ValueError as error:  # not UTF-8, or not JSON
        raise _malformed(path, "it is not JSON") from error
    if not isinstance(content, Mapping) or "train" not in content:
        raise _malformed(path, "it has no 'train' part")
    parts = {name: _entries(path, name, content[name]) for name in ("train", "val") if name in content}
    return IndexFile(path.name, parts["train"], parts.get("val", ()))


def _entries(path: Path, part: str, content: Any) -> tuple[IndexEntry, ...]:
    try:
        return tuple(IndexEntry(str(item["impath"]), int(item["label"])) for item in content["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(path, f"its {part!r} part is not laid out so") from error


def _malformed(path: Path, what: str) -> TaskError:
    return TaskError(
        f"index file {path}: {what}; "
        'expected {"train": {"data": [{"impath": ..., "label": ..., "classname": ...}]}}'
    )


def match_rows(
    entries: Iterable[IndexEntry],
    ids: Sequence[str] | npt.NDArray[np.str_],
    labels: npt.NDArray[np.int64],
    *,
    source: str,
    split: str,
    mended: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int64]:
    """Find the cache's row of every entry.

    An id matches a path when one is the other's tail in whole components: `AnnualCrop/AnnualCrop_1.jpg` matches
    `./data/2750/AnnualCrop/AnnualCrop_1.jpg` but not `./data/2750/OldAnnualCrop/AnnualCrop_1.jpg`. The longest id wins.

    Args:
        entries: images in the file's order.
        ids: the split's ids, (N,).
        labels: the split's class indices, (N,).
        source: the file's name, for messages.
        split: the split's name, for messages.
        mended: rows (N,) whose label was mended, of which the file may know the other one.

    Returns:
        Row numbers, one an entry and in their order.

    Raises:
        TaskError: an image is not in the split, is listed twice, matches several ids, or has another label there.
    """
    finder = _Finder(ids)
    rows: dict[int, str] = {}
    for entry in entries:
        found = finder.find(entry.impath)
        if not found:
            raise TaskError(
                f"index file {source}: {entry.impath} is not in the cache's {split} split ({len(labels)} images): "
                "give the index file of this data set and split, or leave --indices out"
            )
        if len(found) > 1:
            raise TaskError(
                f"index file {source}: {entry.impath} matches {len(found)} images of the {split} split "
                f"({ids[found[0]]}, {ids[found[1]]}, ...): give longer paths in the file"
            )
        row = found[0]
        if row in rows:
            raise TaskError(f"index file {source}: {entry.impath} is listed twice: list every image once")
        if labels[row] != entry.label and not (mended is not None and mended[row]):
            raise TaskError(
                f"index file {source}: {entry.impath} has label {entry.label}, the cache has {labels[row]}: "
                "the file's class order differs from the cache's; give an index file of the same classes"
            )
        rows[row] = entry.impath
    return np.fromiter(rows, dtype=np.int64, count=len(rows))


class _Finder:
    """Rows by path tail; one dictionary for the ids, the slow way round only for paths shorter than the ids."""

    def __init__(self, ids: Sequence[str] | npt.NDArray[np.str_]) -> None:
        self._parts = [_components(str(image_id)) for image_id in ids]
        self._row = {parts: row for row, parts in enumerate(self._parts)}

    def find(self, impath: str) -> list[int]:
        parts = _components(impath)
        for start in range(len(parts)):
            row = self._row.get(parts[start:])
            if row is not None:
                return [row]
        return [row for row, known in enumerate(self._parts) if parts and known[-len(parts) :] == parts]


def _components(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def index_content(
    parts: Mapping[str, tuple[Sequence[str] | npt.NDArray[np.str_], npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """A few-shot set in the layout above, ready to be written as JSON.

    Args:
        parts: (ids (n,), labels (n,), rows of the cache's split (n,)) for `train` and, where there is one, `val`.
        class_names: the C classes.
    """
    return {
        part: {
            "data": [
                {"impath": str(image_id), "label": int(label), "classname": class_names[label]}
                for image_id, label in zip(ids, labels, strict=True)
            ],
            "indices": [int(row) for row in rows],
        }
        for part, (ids, labels, rows) in parts.items()
    }


def indices_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 over the images and labels of a few-shot set, whatever listing its row numbers refer to."""
    images = {part: [[item["impath"], item["label"]] for item in body["data"]] for part, body in content.items()}
    return hashlib.sha256(json.dumps(images, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
