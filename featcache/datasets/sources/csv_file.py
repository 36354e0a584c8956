"""CSV files of `path,label[,split]`: the header is required, paths are relative to the file, labels are class names."""

from __future__ import annotations

import csv
from io import TextIOWrapper
from typing import BinaryIO

from featcache.datasets.class_names import in_order, spoken_names
from featcache.datasets.listing import (
    SPLIT_NAMES,
    Listing,
    check_classes,
    check_no_empty_class,
    complete_splits,
    make_split,
)
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.errors import DataError

COLUMNS = ("path", "label")


def recognises(asked: Asked) -> bool:
    """A file that ends as a CSV does, here or behind a URL."""
    return asked.suffix == ".csv" and asked.exists


def open_csv(asked: Asked) -> Opened:
    """List a CSV file beside its images. Raises as `list_csv`."""
    asked.take_no_split_file("put a column split into the CSV")
    asked.take_no_class_depth()
    listing = list_csv(asked.folder, asked.file_name, asked.seed)
    return Opened(listing=listing, reader=asked.folder, name=asked.name, where=asked.where)


def list_csv(folder: FolderReader | UrlFolder, file: str, seed: int) -> Listing:
    """List a CSV file, row order kept within each split; the classes are the labels, sorted (`in_order`).

    Columns may come in any order, and others are left alone. Without a `split` column the set is split 50/20/30.

    Raises:
        DataError: Columns or values are missing, a file does not exist or is listed twice, a split has another name
            than train, val or test, fewer than two classes, or a class with nothing to train on.
    """
    path = f"{folder}/{file}"
    with folder.open(file) as raw:
        rows = _read(raw, path)
    names = in_order({label for _, label, _ in rows})
    check_classes(names, path)
    _check_files(folder, path, [image for image, _, _ in rows])
    labels = {name: label for label, name in enumerate(names)}
    found = {
        split: make_split((image, labels[label]) for image, label, its in rows if its == split)
        for split in ("train", "val", "test")
        if any(its == split for _, _, its in rows)
    }
    splits, made = complete_splits(found, seed, carve_val=False)
    origin = {"from": f"column split of {file}", **made}
    listing = Listing(spoken_names(names), splits, origin, f"labels in {file}", tuple(names))
    check_no_empty_class(listing, path)
    return listing


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
                rows.append(_row(row, path, reader.line_num, "split" in header))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8 ({error}): save it as one") from error
    if not rows:
        raise DataError(f"{path} has a header but no rows: write one line path,label for each image")
    return rows


def _row(row: dict[str, str | None], path: str, line: int, has_split: bool) -> tuple[str, str, str]:
    image, label = ((row[name] or "").strip() for name in COLUMNS)
    if not image or not label:
        raise DataError(
            f"{path} line {line}: {'label' if image else 'path'} is empty: give each image a path and label"
        )
    if not has_split:
        return image, label, "train"
    given = (row["split"] or "").strip()
    if given.lower() not in SPLIT_NAMES:
        raise DataError(f'{path} line {line}: split is "{given}": write train, val or test, or leave the column out')
    return image, label, SPLIT_NAMES[given.lower()]


def _check_files(folder: FolderReader | UrlFolder, path: str, images: list[str]) -> None:
    seen: set[str] = set()
    for image in images:
        if image in seen:
            raise DataError(f"{path} lists {image} twice: keep one of the rows")
        seen.add(image)
    missing = folder.missing(images)
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(images)} files do not exist, first {missing[0]}: "
            f"paths are relative to {folder}"
        )


CSV = Source(recognises=recognises, open=open_csv)
