"""CoOp's split files, `split_zhou_<Set>.json` (Zhou et al., IJCV 2022, github.com/KaiyangZhou/CoOp).

    {"train": [["AnnualCrop/AnnualCrop_1381.jpg", 0, "Annual Crop Land"], ...], "val": [...], "test": [...]}

Paths are relative to the set's image folder, labels start at 0. Rows keep the file's order.
"""

from __future__ import annotations

import hashlib
from operator import index
from pathlib import Path
from typing import Any

from featcache.datasets.dataset import Split
from featcache.datasets.listing import SPLITS, Listing, check_no_empty_class, make_split
from featcache.datasets.readers.image_files import ImageFiles
from featcache.errors import DataError
from featcache.records import parse_json


def list_coop_split(path: Path, files: ImageFiles) -> Listing:
    """List the rows of a split file, and check that each image is there.

    Raises:
        DataError: The file is not of this form, labels and class names disagree, or images are not there.
    """
    try:
        raw = path.read_bytes()
        content = parse_json(raw)
    except OSError as error:
        raise DataError(f"cannot read the split file {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"the split file {path} cannot be read: {error}: download it again") from error
    rows = _rows(content, path)
    class_names = _class_names(rows, path)
    splits = {name: make_split((image, label) for image, label, _ in rows[name]) for name in SPLITS if rows.get(name)}
    _check_images(splits, files, path)
    origin = {"from": "file", "file": path.name, "path": str(path), "sha256": hashlib.sha256(raw).hexdigest()}
    listing = Listing(class_names, splits, origin, f"split file {path.name}")
    check_no_empty_class(listing, str(path))
    return listing


def _rows(content: Any, path: Path) -> dict[str, list[tuple[str, int, str]]]:
    try:
        rows = {name: [(str(i), index(label), str(c)) for i, label, c in content[name]] for name in content}
    except (TypeError, ValueError):
        rows = {}
    if "train" not in rows or not set(rows) <= set(SPLITS):
        raise DataError(
            f"{path} is not one of CoOp's split files: expected "
            '{"train": [["path", label, "class name"], ...], "val": [...], "test": [...]}'
        )
    return rows


def _class_names(rows: dict[str, list[tuple[str, int, str]]], path: Path) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for split in rows.values():
        for image, label, name in split:
            if names.setdefault(label, name) != name:
                raise DataError(
                    f'{path}: label {label} is "{names[label]}" and, for {image}, "{name}": expected one name'
                )
    if sorted(names) != list(range(len(names))) or len(names) < 2:
        raise DataError(
            f"{path}: {len(names)} labels between {min(names, default=0)} and {max(names, default=0)}: "
            "expected 2 or more, counted from 0 without gaps"
        )
    return tuple(names[label] for label in range(len(names)))


def _check_images(splits: dict[str, Split], files: ImageFiles, path: Path) -> None:
    there = set(files.paths())
    missing = [image for split in splits.values() for image in split.ids if image not in there]
    if missing:
        total = sum(map(len, splits.values()))
        raise DataError(
            f"{path}: {len(missing)} of {total} images are not in {files}, first {missing[0]}: "
            "unpack the images again, or give the split file that belongs to them"
        )
