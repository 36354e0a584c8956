"""Parquet files with the columns `path,label[,split]`: what a CSV lists, for more rows than a list of strings holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featcache.datasets.class_names import in_order
from featcache.datasets.dataset import Split
from featcache.datasets.listing import SPLIT_NAMES, SPLITS
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.tables.columns import LABEL, PATH, SPLIT, Columns, TableOptions, columns_in
from featcache.datasets.sources.tables.table import Listed, row_problem, table_source
from featcache.errors import DataError, in_a_line
from featcache.ids import BLOCK, Ids


def read_table(folder: FolderReader | UrlFolder, file: str, options: TableOptions) -> Listed:
    """The labels in order, and the splits that the file names, as of a CSV of the same rows.

    Labels are text or whole numbers. It is read twice, in batches: to count, and then into arrays that are as large as
    they must be.

    Raises:
        DataError: A column is missing or of another type, a path is empty, or a split has another name.
    """
    table = _Table(folder, file, options)
    labels, rows, widths = _counted(table)
    names = in_order(labels - {""})
    places = {name: place for place, name in enumerate(names)} | {"": -1}
    padded = [np.zeros((count, width), np.uint8) for count, width in zip(rows, widths, strict=True)]
    classes = [np.empty(count, np.int64) for count in rows]
    ends = np.zeros(len(SPLITS), np.int64)
    for batch in table.batches():
        label_of_row = np.array([places[name] for name in batch.labels], np.int64)[batch.label_of_row]
        for split in np.flatnonzero(np.bincount(batch.splits)).tolist():
            mine = batch.splits == split
            where = slice(ends[split], ends[split] + int(mine.sum()))
            ends[split] = where.stop
            inside = np.arange(padded[split].shape[1]) < batch.lengths[mine, None]
            padded[split][where][inside] = batch.letters[np.repeat(mine, batch.lengths)]
            classes[split][where] = label_of_row[mine]
    for array in classes:
        array.flags.writeable = False
    splits = {
        name: Split(Ids(padded[split]), classes[split]) for split, name in enumerate(SPLITS) if len(classes[split])
    }
    return Listed(names, splits, table.told)


def _counted(table: _Table) -> tuple[set[str], np.ndarray, np.ndarray]:
    """The labels; and of each of `SPLITS` how many rows it has, and the bytes of its longest path."""
    labels = set[str]()
    rows, widths = np.zeros(len(SPLITS), np.int64), np.ones(len(SPLITS), np.int64)
    for batch in table.batches():
        labels.update(batch.labels)
        of_batch = np.bincount(batch.splits, minlength=len(SPLITS))
        for split in np.flatnonzero(of_batch).tolist():
            widths[split] = max(widths[split], batch.lengths[batch.splits == split].max())
        rows += of_batch
    if not rows.any():
        raise DataError(f"{table.path} has no rows: write one with path and label for each image")
    return labels, rows, widths


@dataclass(frozen=True)
class _Batch:
    """Some rows: letters of all paths one after another, their lengths (B,), labels, and the row's label and split."""

    letters: np.ndarray
    lengths: np.ndarray
    labels: list[str]
    label_of_row: np.ndarray
    splits: np.ndarray


@dataclass(frozen=True)
class _Table:
    """The file."""

    folder: FolderReader | UrlFolder
    file: str
    options: TableOptions
    told: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{self.folder}/{self.file}"

    def batches(self) -> Iterator[_Batch]:
        """All rows, in batches."""
        import pyarrow
        import pyarrow.parquet

        path, first = self.path, 1
        try:
            # Not `open_parquet`: columns read little by little are twice the bytes behind a URL.
            with self.folder.open(self.file) as raw, pyarrow.parquet.ParquetFile(raw) as table:
                columns = columns_in(table.schema_arrow.names, self.options, path)
                self.told[:] = columns.told
                for batch in table.iter_batches(BLOCK, columns=[name for name in _parts(columns).values() if name]):
                    yield _batch(path, first, _texts(path, batch, columns))
                    first += len(batch)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path} is not a readable Parquet file ({in_a_line(error)}): write it again") from error


def _parts(columns: Columns) -> dict[str, str | None]:
    return {PATH: columns.path, LABEL: columns.label, SPLIT: columns.split}


def _texts(path: str, batch: Any, columns: Columns) -> dict[str, Any]:
    """The columns of a batch by what they are; without one of splits there is none."""
    parts = {what: name for what, name in _parts(columns).items() if name}
    return {what: _text(path, what, name, batch.column(name)) for what, name in parts.items()}


def _text(path: str, what: str, name: str, column: Any) -> Any:
    """A column as strings without space around them; what is missing is empty."""
    import pyarrow
    import pyarrow.compute

    kind = column.type.value_type if pyarrow.types.is_dictionary(column.type) else column.type
    is_text = pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)
    is_text |= what == LABEL and pyarrow.types.is_null(kind)  # as of a column without any label
    may_be_number = what == LABEL or (what == PATH and name != PATH)  # as ids that lack an ending
    if not is_text and not (may_be_number and pyarrow.types.is_integer(kind)):
        raise DataError(f"{path}: column {name} holds {kind}: write text{' or whole numbers' * may_be_number}")
    return pyarrow.compute.utf8_trim_whitespace(column.cast(pyarrow.string()).fill_null(""))


def _batch(path: str, first: int, columns: dict[str, Any]) -> _Batch:
    """A batch whose first row has this number, checked."""
    paths = columns[PATH]
    _, ends, letters = paths.buffers()  # in Arrow's format: where each string ends, and all of them in a row
    offsets = np.frombuffer(ends, np.int32)[paths.offset :][: len(paths) + 1]
    lengths = np.diff(offsets)
    labels, label_of_row = _encoded(columns[LABEL])
    words, word_of_row = _encoded(columns[SPLIT]) if SPLIT in columns else (["train"], np.zeros_like(label_of_row))
    codes = [SPLITS.index(SPLIT_NAMES[word.lower()]) if word.lower() in SPLIT_NAMES else -1 for word in words]
    splits = np.array(codes)[word_of_row]
    wrong = (lengths == 0) | (splits < 0)
    if wrong.any():
        row = int(wrong.argmax())
        problem = row_problem(paths[row].as_py(), words[word_of_row[row]])
        raise DataError(f"{path} row {first + row}: {problem}")
    letters = np.frombuffer(letters, np.uint8)[offsets[0] : offsets[-1]]
    return _Batch(letters, lengths, labels, label_of_row, splits)


def _encoded(column: Any) -> tuple[list[str], np.ndarray]:
    """The values of a column, and which of them each row has."""
    encoded = column.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


# Those that hold images themselves are asked for before.
PARQUET_LISTING = table_source((".parquet",), read_table, called="table")
