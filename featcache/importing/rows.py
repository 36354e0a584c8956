"""Whose embeddings these are: ids, labels, class names and splits of the rows, as a data set has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featcache.array_names import CLASS_NAMES, EMBEDDINGS, IDS, LABELS, MANIFEST
from featcache.array_names import SPLITS as SPLIT_COLUMN
from featcache.array_names import TEXT as TEXTS
from featcache.cache.layout import UNLABELLED
from featcache.datasets.class_names import in_order, spoken_names
from featcache.datasets.dataset import Split
from featcache.datasets.given_class_names import class_names_given
from featcache.datasets.listing import SPLIT_NAMES, SPLITS, check_classes, complete_splits
from featcache.errors import DataError
from featcache.ids import Ids, repeated_id
from featcache.importing.asked import Asked
from featcache.importing.formats.arrays import NUMBERS, TEXT, Arrays, Column, joined, shape_of
from featcache.importing.formats.parquet import names_of_classes
from featcache.importing.roles import FOLDERS, Found
from featcache.records import parse_json

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NumberedSplit(Split):
    """Rows of a split that know where they were.

    Attributes:
        rows: (N,) their numbers in the source, ascending.
    """

    rows: Rows

    def take(self, rows: Rows) -> NumberedSplit:
        """The rows at these positions, in the order given."""
        return NumberedSplit(Ids.of(self.ids).take(rows), self.labels[rows], self.rows[rows])

    def followed_by(self, other: Split) -> NumberedSplit:
        """These rows, then those of another such split."""
        assert isinstance(other, NumberedSplit)
        both = super().followed_by(other)
        return NumberedSplit(both.ids, both.labels, np.concatenate([self.rows, other.rows]))


@dataclass(frozen=True)
class Listed:
    """The rows of a source.

    Attributes:
        embeddings: (N, D) all of them.
        class_names: (C,) in label order; `names` what the source calls them.
        splits: Rows of each split, some of train, val, test.
        origin: How the splits came about, for the provenance; `names_origin` likewise.
        told: What was guessed or made, a line each.
    """

    embeddings: Column
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    splits: Mapping[str, NumberedSplit]
    origin: Mapping[str, Any]
    names_origin: str
    told: Sequence[str]


def list_rows(arrays: Arrays, found: Found, asked: Asked) -> Listed:
    """Read labels, ids and splits, and make what is missing.

    Raises:
        DataError: Shapes or counts do not fit, labels are out of range, an id is there twice, or a split has another
            name.
    """
    told, where = list[str](), arrays.where
    parts = found.of_rows[EMBEDDINGS]
    for column in parts.values():
        if column.kind != NUMBERS:
            next(column.blocks(), None)  # says what is wrong with objects
        if len(column.shape) != 2 or column.kind != NUMBERS or not all(column.shape):
            raise DataError(f"{where}: {column.name} is {shape_of(column)}: expected embeddings (N, D), a row an image")
    embeddings = joined(EMBEDDINGS, list(parts.values()), where)
    counts = {split: len(column) for split, column in parts.items()}
    ids = _ids(arrays, found, counts, told)
    named = _class_names(arrays, found)
    given = _label_columns(found, ids, counts, where)
    labels, names = _labels(given, named, found.of_classes.get(TEXTS), len(embeddings), where, told)
    spoken = spoken_names(names) if named is None else tuple(names)
    names_origin = "labels in the source" if named is None else "class names in the source"
    if asked.class_names is not None:
        spoken, names_origin = class_names_given(asked.class_names, spoken, names)
    check_classes(spoken, str(where))
    words = _splits(arrays, found, counts, asked)
    if repeated := repeated_id([ids]):
        raise DataError(f"{where} has the id {repeated} twice: type --array ids=none to number the rows instead")
    everything = NumberedSplit(ids, labels, np.arange(len(labels)))
    splits, origin = _complete(everything, words, asked)
    return Listed(embeddings, spoken, tuple(names), splits, origin, names_origin, told)


def _ids(arrays: Arrays, found: Found, counts: Mapping[str | None, int], told: list[str]) -> Ids:
    """The ids of all rows: the source's, or numbers of rows."""
    columns = found.of_rows.get(IDS)
    if columns is None:
        told.append("ids: none in the source, so rows are numbered")
        blocks = list(_numbers_as_text(counts))
    else:
        blocks = []
        for split, column in columns.items():
            _require_rows(column, counts[split], arrays.where)
            blocks += [_as_text(block, column) for block in column.blocks()]
    padded = np.zeros((sum(map(len, blocks)), max([1, *(block.dtype.itemsize for block in blocks)])), np.uint8)
    start = 0
    for block in blocks:
        letters = block.view(np.uint8).reshape(len(block), block.dtype.itemsize)
        padded[start : start + len(block), : letters.shape[1]] = letters
        start += len(block)
    if not padded.any(axis=1).all():
        row = int(np.argmin(padded.any(axis=1)))
        raise DataError(f"{arrays.where} has no id in row {row}: type --array ids=none to number the rows instead")
    return Ids(padded)


def _numbers_as_text(counts: Mapping[str | None, int]) -> Iterator[np.ndarray]:
    """Numbers of rows, as wide as the largest, so that they sort; of arrays of splits with the split before them."""
    for split, count in counts.items():
        width = len(str(max(count - 1, 0)))
        for start in range(0, count, 65_536):
            numbers = np.char.zfill(np.arange(start, min(start + 65_536, count)).astype(f"S{width}"), width)
            yield np.char.add(f"{split}/".encode(), numbers) if split else numbers


def _as_text(block: np.ndarray, column: Column) -> np.ndarray:
    """Ids as byte strings: they may be text, whole numbers, or (N, W) bytes as caches hold them."""
    if column.kind == TEXT and block.ndim == 1:
        return np.ascontiguousarray(block)
    if block.dtype == np.uint8 and block.ndim == 2:
        return np.ascontiguousarray(block).view(f"S{block.shape[1]}").reshape(-1)
    if block.dtype.kind in "iu" and block.ndim == 1:
        return block.astype(np.bytes_)
    raise DataError(f"{column.name} is {shape_of(column)}: expected an id a row, text or whole numbers")


def _class_names(arrays: Arrays, found: Found) -> list[str] | None:
    """The class names that the source has; None: none but those that its labels are."""
    if CLASS_NAMES in found.of_classes:
        return found.of_classes[CLASS_NAMES].words()
    if CLASS_NAMES in arrays.facts:
        names = parse_json(arrays.facts[CLASS_NAMES])
        return [str(name) for name in names] if isinstance(names, list) else None
    manifest = manifest_of(arrays)
    if manifest is not None:
        return list(manifest["identity"]["dataset"]["class_names"])
    columns = found.of_rows.get(LABELS, {})
    return names_of_classes(arrays.facts, next(iter(columns.values())).name) if columns else None


def manifest_of(arrays: Arrays) -> dict[str, Any] | None:
    """The manifest of the cache that an export of ours was made from; None where the source is none."""
    try:
        manifest = parse_json(arrays.facts[MANIFEST])
        manifest["identity"]["encoder"]["weights_sha256"], manifest["identity"]["dataset"]["class_names"]
    except (LookupError, TypeError, ValueError):
        return None
    return dict(manifest)


def _label_columns(found: Found, ids: Ids, counts: Mapping[str | None, int], where: Path) -> np.ndarray | None:
    """The labels of all rows as they are in the source, (N,) numbers or byte strings; None where there are none."""
    if found.labels_are_folders:
        folders = [name.rpartition("/")[0].rpartition("/")[2].encode() for name in ids]
        if not any(folders):
            raise DataError(f"--array labels={FOLDERS}: the ids of {where} have no folders, such as {ids[0]}")
        return np.array(folders)
    parts = []
    for split, column in found.of_rows.get(LABELS, {}).items():
        labels = column.whole()
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise DataError(
                f"{where}: {column.name} is {shape_of(column)}: expected a class number or name a row; of a column for "
                "each class, labels.argmax(1) is that"
            )
        _require_rows(column, counts[split], where)
        parts.append(labels)
    return np.concatenate(parts) if parts else None


def _labels(
    given: np.ndarray | None, named: Sequence[str] | None, text: Column | None, rows: int, where: Path, told: list[str]
) -> tuple[Labels, list[str]]:
    """The class number of each row (N,), and the names of the classes in order."""
    if given is None:
        if named is None:
            raise DataError(
                f"{where} has neither labels nor class names: type --array labels=NAME (or =FILE.npy, or ={FOLDERS} "
                "where the folder of an id is its class), or --array class_names=FILE.txt"
            )
        told.append("labels: none in the source, so all rows are without a label")
        return np.full(rows, UNLABELLED), list(named)
    if given.dtype.kind == "S":
        return _of_words(given, named, where)
    if given.dtype.kind == "f":
        given = np.where(np.isnan(given), UNLABELLED, given)
        wrong = ~np.isfinite(given) | (given != np.floor(given))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(f"{where}: the label of row {row} is {given[row]}: expected whole numbers, from 0 on")
    labels = given.astype(np.int64)
    count = len(named) if named is not None else max(int(labels.max(initial=-1)) + 1, len(text) if text else 0)
    wrong = (labels < UNLABELLED) | (labels >= count)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{where}: the label of row {row} is {labels[row]}, and there are {count} class names "
            f"({int(wrong.sum()):,} of {len(labels):,} rows are out of range): expected 0 to {count - 1}, or -1"
        )
    if named is None:
        told.append(f"class names: none in the source, so the {count} classes are called by their numbers")
    return labels, list(named) if named is not None else [str(number) for number in range(count)]


def _of_words(given: np.ndarray, named: Sequence[str] | None, where: Path) -> tuple[Labels, list[str]]:
    """Labels that are words: which of the classes each is; an empty one is none."""
    words, codes = np.unique(given, return_inverse=True)
    there = [word.decode("utf-8", "replace").strip() for word in words.tolist()]
    names = list(named) if named is not None else in_order({word for word in there if word})
    places = {name: place for place, name in enumerate(names)} | {"": UNLABELLED}
    unknown = [word for word in there if word not in places]
    if unknown:
        raise DataError(f"{where} has the label {unknown[0]!r}, which is none of its {len(names)} class names")
    return np.array([places[word] for word in there], dtype=np.int64)[codes.reshape(-1)], names


def _splits(arrays: Arrays, found: Found, counts: Mapping[str | None, int], asked: Asked) -> np.ndarray | None:
    """(N,) the number in `SPLITS` of each row's split; None: they are to be made."""
    total = sum(counts.values())
    if asked.split is not None:
        return np.full(total, SPLITS.index(asked.split))
    if None not in counts:
        return np.concatenate([np.full(count, SPLITS.index(str(split))) for split, count in counts.items()])
    column = found.of_rows.get(SPLIT_COLUMN, {}).get(None)
    if column is None:
        return None
    _require_rows(column, total, arrays.where)
    values = column.whole().reshape(-1)
    if values.dtype.kind == "S":
        words, codes = np.unique(values, return_inverse=True)
        there = [word.decode("utf-8", "replace").strip().lower() for word in words.tolist()]
        unknown = [number for number, word in enumerate(there) if word not in SPLIT_NAMES]
        if not unknown:
            return np.array([SPLITS.index(SPLIT_NAMES[word]) for word in there])[codes]
        row = int(np.argmax(codes == unknown[0]))
        wrong: Any = there[unknown[0]]
    else:
        row, wrong = 0, values[0]
    raise DataError(
        f"{arrays.where}: {column.name} of row {row} is {wrong!r}: expected train, val or test; type --array "
        "splits=none to have them made"
    )


def _complete(
    everything: NumberedSplit, codes: np.ndarray | None, asked: Asked
) -> tuple[dict[str, NumberedSplit], dict[str, Any]]:
    """The splits of all rows, made where the source has none."""
    sets = {"train": everything}
    if codes is not None:
        every = {name: everything.take(np.flatnonzero(codes == code)) for code, name in enumerate(SPLITS)}
        sets = {name: split for name, split in every.items() if len(split)}
    if asked.split is not None:
        return sets, {"from": f"--split {asked.split}"}
    made, origin = complete_splits(sets, asked.seed, carve_val=False)
    rows = {name: np.sort(split.rows) for name, split in made.items() if isinstance(split, NumberedSplit)}
    splits = {name: everything.take(of_split) for name, of_split in rows.items()}
    return splits, {"from": "the source", **origin} if len(sets) > 1 else origin


def _require_rows(column: Column, rows: int, where: Path) -> None:
    if len(column) != rows:
        raise DataError(f"{where}: {column.name} has {len(column):,} rows and the embeddings have {rows:,}")
