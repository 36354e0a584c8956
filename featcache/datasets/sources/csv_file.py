"""CSV files of `path,label[,split]`: the header is required, paths are relative to the file, labels are class names.

An empty label is none.
"""

from __future__ import annotations

import csv
from io import TextIOWrapper
from typing import BinaryIO

from featcache.datasets.class_names import in_order
from featcache.datasets.listing import SPLIT_NAMES, SPLITS, Listing, make_split
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.table import COLUMNS, SPLIT, row_problem, table_listing, table_source
from featcache.errors import DataError


def list_csv(folder: FolderReader | UrlFolder, file: str, seed: int) -> Listing:
    """List a CSV file; the classes are the labels, sorted (`in_order`).

    The order of rows is kept within each split, but that those without a label come last.

    Columns may come in any order, and others are left alone. Without a `split` column the set is split 50/20/30.

    Raises:
        DataError: Columns or values are missing, a file does not exist or is listed twice, a split has another name
            than train, val or test, fewer than two classes, or a class with nothing to train on.
    """
    path = f"{folder}/{file}"
    with folder.open(file) as raw:
        rows = _read(raw, path)
    names = in_order({label for _, label, _ in rows if label})
    labels = {name: label for label, name in enumerate(names)} | {"": -1}
    found = {
        split: make_split((image, labels[label]) for image, label, its in rows if its == split)
        for split in SPLITS
        if any(its == split for _, _, its in rows)
    }
    return table_listing(folder, file, names, found, seed)


def _read(raw: BinaryIO, path: str) -> list[tuple[str, str, str]]:
    """(path, label, split) of each row; without a split column every row is "train"."""
    rows = []
    try:
        with TextIOWrapper(raw, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = header
            missing = [name for name in COLUMNS if name not in header]
            if missing:
                raise DataError(
                    f"{path} has the columns {', '.join(header) or 'nothing'}: its first line must name "
                    f"path and label (and split, if you like), {' and '.join(missing)} is missing"
                )
            for row in reader:
                rows.append(_row(row, path, reader.line_num, SPLIT in header))
    except csv.Error as error:
        place = f"{path} line {len(rows) + 2} or one soon after"
        raise DataError(
            f"{place} is not CSV ({error}): a quote is not closed, or it is another kind of file"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a CSV file in UTF-8 ({error}): save it as one") from error
    if not rows:
        raise DataError(f"{path} has a header but no rows: write one line path,label for each image")
    return rows


def _row(row: dict[str, str | None], path: str, line: int, has_split: bool) -> tuple[str, str, str]:
    image, label = ((row[name] or "").strip() for name in COLUMNS)
    split = (row[SPLIT] or "").strip() if has_split else None
    if problem := row_problem(image, split):
        raise DataError(f"{path} line {line}: {problem}")
    return image, label, "train" if split is None else SPLIT_NAMES[split.lower()]


CSV = table_source(".csv", list_csv, called="CSV")
