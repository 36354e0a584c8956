"""What tables of `path,label[,split]` have in common, whatever kind of file they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from featcache.datasets.class_names import spoken_names
from featcache.datasets.dataset import Split
from featcache.datasets.listing import SPLIT_NAMES, Listing, check_classes, check_no_empty_class, complete_splits
from featcache.errors import DataError
from featcache.ids import Ids, repeated_id

COLUMNS = ("path", "label")
SPLIT = "split"


def table_listing(path: Path, names: Sequence[str], found: Mapping[str, Split], seed: int) -> Listing:
    """The listing of a table.

    Args:
        path: Where the table is; paths of images are relative to its folder.
        names: (C,) the labels, in order.
        found: The splits that the table names, some of train, val, test in this order; labels index `names`.
        seed: Of the split, where the table has none.

    Raises:
        DataError: A file does not exist or is listed twice, there is no train, fewer than two classes, or a class has
            nothing to train on.
    """
    check_classes(names, str(path))
    check_files(path, found)
    splits, made = complete_splits(found, seed, carve_val=False)
    origin = {"from": f"column split of {path.name}", **made}
    listing = Listing(spoken_names(names), splits, origin, f"labels in {path.name}", tuple(names))
    check_no_empty_class(listing, str(path))
    return listing


def row_problem(image: str, label: str, split: str | None) -> str | None:
    """What is wrong with a row, or None; a split of None: the table has no such column."""
    if not image or not label:
        return f"{'label' if image else 'path'} is empty: give each image a path and label"
    if split is not None and split.lower() not in SPLIT_NAMES:
        return f'split is "{split}": write train, val or test, or leave the column out'
    return None


def check_files(path: Path, found: Mapping[str, Split]) -> None:
    """Refuse a table that names an image twice, or one that is not there.

    Raises:
        DataError: Naming the first.
    """
    if repeated := repeated_id([Ids.of(split.ids) for split in found.values()]):
        raise DataError(f"{path} lists {repeated} twice: keep one of the rows")
    folder, missing, first = str(path.parent), 0, ""
    for split in found.values():
        for image in split.ids:
            if not os.path.isfile(os.path.join(folder, image)):
                missing, first = missing + 1, first or image
    if missing:
        total = sum(map(len, found.values()))
        raise DataError(
            f"{path}: {missing} of {total} files do not exist, first {first}: paths are relative to {path.parent}"
        )
