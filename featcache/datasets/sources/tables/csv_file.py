"""CSV files of `path,label[,split]`: the header is required, paths are relative to the file, labels are class names.

An empty label is none. Other columns, delimiters and encodings are understood where they can only mean one thing.
"""

from __future__ import annotations

from collections.abc import Iterator

from featcache.datasets.listing import SPLIT_NAMES
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.tables.columns import TableOptions, columns_in
from featcache.datasets.sources.tables.table import Listed, row_problem, splits_of, table_source
from featcache.datasets.sources.tables.text_table import SUFFIXES, TextTable, opened_table
from featcache.errors import DataError


def read_csv(folder: FolderReader | UrlFolder, file: str, options: TableOptions) -> Listed:
    """The labels in order (`in_order`), and the splits that a file names; whether images exist is not looked at.

    The order of rows is kept within each split. Columns may come in any order, and others are left alone. Without a
    column of splits all rows are of train.

    Raises:
        DataError: Columns or values are missing, or a split has another name than train, val or test.
    """
    path = f"{folder}/{file}"
    with opened_table(folder, file) as table:
        columns = columns_in(table.header, options, path)
        names = (columns.path, columns.label, columns.split)
        places = [None if name is None else table.header.index(name) for name in names]
        rows = list(_rows(table, places, path))
    if not rows:
        raise DataError(f"{path} has a header but no rows: write one line path,label for each image")
    return splits_of(rows, [*table.told, *columns.told])


def _rows(table: TextTable, places: list[int | None], path: str) -> Iterator[tuple[str, str, str]]:
    """(path, label, split) of each row."""
    for line, cells in table.rows:
        image, label, split = (
            None if place is None else cells[place] if place < len(cells) else "" for place in places
        )
        if problem := row_problem(image or "", split):
            raise DataError(f"{path} line {line}: {problem}")
        yield image or "", label or "", "train" if split is None else SPLIT_NAMES[split.lower()]


CSV = table_source(SUFFIXES, read_csv, called="CSV")
