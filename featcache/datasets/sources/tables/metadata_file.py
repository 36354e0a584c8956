"""Hugging Face's image folders: images, and beside them `metadata.csv`, `.jsonl` or `.parquet` with their labels.

The column `file_name` has paths relative to that file, and the label column is called as in `LABEL_NAMES`. There may be
one such file for all images, or one in each folder of a split; an image's split is the one that its path names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import zip_longest
from typing import Any

from featcache.datasets.labelled import LABEL_NAMES, Row, list_labelled, splits_in
from featcache.datasets.listing import SPLIT_NAMES
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.table_rows import open_parquet, undamaged
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.source import METADATA, Asked, Opened, Source
from featcache.datasets.sources.tables.text_table import opened_table
from featcache.errors import DataError
from featcache.records import parse_json

FILE_NAME = "file_name"

Folder = FolderReader | UrlFolder


def recognises(asked: Asked) -> bool:
    """A folder with such a file that has both columns."""
    if not asked.exists or not asked.is_folder:
        return False
    return any(
        FILE_NAME in row and _label_in(row)
        for path in tables_beside(asked.folder, METADATA)
        for row in _first(asked.folder, path)
    )


def open_metadata(asked: Asked) -> Opened:
    """List the images that the files name, in their order.

    Raises:
        DataError: A file cannot be read, images are not there or listed twice, or as `list_labelled`.
    """
    asked.take_no_split_file("put the images of each split into a folder train, val or test")
    asked.take_no_class_depth()
    files, pairs = tables_beside(asked.folder, METADATA), {}
    for file in files:
        above = file.rpartition("/")[0]
        for number, row in enumerate(_rows(asked.folder, file), start=1):
            if not row.get(FILE_NAME):
                raise DataError(
                    f"{asked.where}/{file} row {number} has no {FILE_NAME}: give each image a path and label"
                )
            image = f"{above}/{row[FILE_NAME]}".lstrip("/")
            if image in pairs:
                raise DataError(f"{asked.where}/{file} lists {image} twice: keep one of the rows")
            label = row.get(_label_in(row))
            pairs[image] = "" if label is None else str(label).strip()
    return listed_beside(asked, pairs, table=files[0], names_from=f"labels in {files[0]}")


def listed_beside(asked: Asked, labels: Mapping[str, str], *, table: str, names_from: str) -> Opened:
    """The images of a folder that tables in it name, in their order; splits are folders.

    Args:
        asked: For the folder.
        labels: By the paths of the images in it; empty for an image without a label.
        table: The first of the tables, for messages.
        names_from: Where class names come from, in words.

    Raises:
        DataError: An image is not there, or as `list_labelled`.
    """
    if missing := asked.folder.missing(labels):
        counted = f"{len(missing)} of {len(labels)} files in {table} do not exist, first {missing[0]}"
        raise DataError(f"{asked.where}: {counted}: paths are relative to that file")
    listing = list_labelled(
        map(Row, labels, labels.values(), splits_in([path.rpartition("/")[0] for path in labels])),
        where=asked.where,
        seed=asked.seed,
        splits_from="folders",
        names_from=names_from,
    )
    return Opened(listing=listing, reader=asked.folder, name=asked.name, where=asked.where)


def tables_beside(folder: Folder, names: Sequence[str]) -> list[str]:
    """Tables of files that have one of these names, in a folder and in its folders of splits; of several the first."""
    places = ["", *(f"{name}/" for name in folder.folders() if name.lower() in SPLIT_NAMES)]
    found = (_there(folder, [place + name for name in names]) for place in places)
    return [files[0] for files in found if files]


def _there(folder: Folder, files: list[str]) -> list[str]:
    missing = folder.missing(files)
    return [file for file in files if file not in missing]


def _first(folder: Folder, path: str) -> Iterator[dict[str, Any]]:
    yield next(_rows(folder, path), {})


def _rows(folder: Folder, path: str) -> Iterator[dict[str, Any]]:
    try:
        with folder.open(path) as file:
            if path.endswith(".parquet"):
                with undamaged(f"{folder}/{path}"):
                    for batch in open_parquet(file).iter_batches():
                        yield from batch.to_pylist()
                return
            if path.endswith(".jsonl"):
                with TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                    yield from (_row(line) for line in text if line.strip())
                return
        with opened_table(folder, path) as table:
            for _, cells in table.rows:
                yield dict(zip_longest(table.header, cells[: len(table.header)], fillvalue=""))
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{folder}/{path} cannot be read ({error}): save it in UTF-8") from error


def _row(line: str) -> dict[str, Any]:
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError("a line is no JSON object")
    return row


def _label_in(row: dict[str, Any]) -> str:
    """The label column; empty where there is none."""
    return next((name for name in LABEL_NAMES if name in row), "")


METADATA_FILE = Source(recognises=recognises, open=open_metadata)
