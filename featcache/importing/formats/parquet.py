"""Parquet: a file or a folder of them, one row an image.

Embeddings are a column of lists, of fixed or equal lengths; they are read a few thousand rows at a time, however large
the row groups are. Files of a folder follow one another by name, and where there is no column of splits, words in their
names name one, as in `train-00000.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featcache.datasets.labelled import splits_in
from featcache.errors import DataError, in_a_line
from featcache.importing.formats.arrays import NUMBERS, OBJECTS, TEXT, Arrays, Column, column_of, joined, no_objects
from featcache.records import parse_json

SUFFIX = ".parquet"
SPLITS = "splits"


def recognises(path: Path) -> bool:
    """A file that ends so, or a folder with some."""
    return path.suffix.lower() == SUFFIX if path.is_file() else any(path.glob(f"*{SUFFIX}"))


def open_parquet_files(path: Path) -> Arrays:
    """The columns of a file, or of the files of a folder one below the other.

    Raises:
        DataError: A file is damaged, or has other columns than the first.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    found = tables(files, path)
    named = splits_in([file.stem for file in files])
    if None not in named and SPLITS not in found.columns:
        counts = [len(next(iter(opened.columns.values()))) for opened in (tables([file], path) for file in files)]
        words = np.repeat(np.array(named, dtype=np.str_), counts)
        return Arrays(path, {**found.columns, SPLITS: column_of(SPLITS, words)}, found.facts)
    return found


def tables(files: Sequence[Path], where: Path) -> Arrays:
    """The columns of these files, one below the other, and the facts of the first.

    Raises:
        DataError: A file is damaged, or has other columns than the first.
    """
    opened = [_table(file) for file in files]
    names = list(opened[0].columns)
    for file, table in zip(files, opened, strict=True):
        if list(table.columns) != names:
            raise DataError(f"{file} has other columns than {files[0].name}: give a folder of one kind")
    columns = {name: joined(name, [table.columns[name] for table in opened], where) for name in names}
    return Arrays(where, columns, opened[0].facts)


def _table(file: Path) -> Arrays:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            schema, rows = table.schema_arrow, table.metadata.num_rows
            columns = {name: _column(file, name, schema.field(name).type, rows) for name in schema.names}
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file} is no Parquet file that can be read ({in_a_line(error)}): write it again") from error
    facts = {key.decode(): value.decode("utf-8", "replace") for key, value in (schema.metadata or {}).items()}
    return Arrays(file, columns, facts)


def _column(file: Path, name: str, kind: Any, rows: int) -> Column:
    import pyarrow as pa

    stored = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    plain = stored.value_type if pa.types.is_dictionary(stored) else stored
    if pa.types.is_string(plain) or pa.types.is_large_string(plain):
        return Column(name, (rows,), TEXT, "text", lambda size: _texts(file, name, size))
    if pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_boolean(plain):
        return Column(name, (rows,), NUMBERS, str(plain), lambda size: _numbers(file, name, size))
    is_list = pa.types.is_fixed_size_list(stored) or pa.types.is_list(stored) or pa.types.is_large_list(stored)
    if is_list and (pa.types.is_floating(stored.value_type) or pa.types.is_integer(stored.value_type)):
        width = stored.list_size if pa.types.is_fixed_size_list(stored) else _width(file, name)
        shown = {"halffloat": "float16", "float": "float32", "double": "float64"}
        dtype = shown.get(str(stored.value_type), str(stored.value_type))
        return Column(name, (rows, width), NUMBERS, dtype, lambda size: _lists(file, name, width, size))
    return Column(name, (rows,), OBJECTS, str(stored), no_objects(name, file).read)


def _batches(file: Path, name: str, size: int) -> Iterator[Any]:
    """A column, some rows at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(size, columns=[name]):
                column = batch.column(0)
                yield column.storage if isinstance(column, pyarrow.ExtensionArray) else column
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{name} in {file} is damaged ({in_a_line(error)}): write it again") from error


def _texts(file: Path, name: str, size: int) -> Iterator[np.ndarray]:
    for column in _batches(file, name, size):
        yield np.array([(word or "").encode() for word in column.to_pylist()], dtype=np.bytes_)


def _numbers(file: Path, name: str, size: int) -> Iterator[np.ndarray]:
    import pyarrow as pa

    for column in _batches(file, name, size):
        numbers = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        yield numbers.to_numpy(zero_copy_only=False)  # missing numbers become NaN


def _width(file: Path, name: str) -> int:
    """How many numbers the first row has; 0 where there is none."""
    for column in _batches(file, name, 64):
        return next((len(row) for row in column.to_pylist() if row is not None), 0)
    return 0


def _lists(file: Path, name: str, width: int, size: int) -> Iterator[np.ndarray]:
    import pyarrow.compute

    first = 0
    for column in _batches(file, name, size):
        there = np.asarray(column.is_valid())
        lengths = pyarrow.compute.list_value_length(column).fill_null(width).to_numpy(zero_copy_only=False)
        if (lengths != width).any():
            row = int(np.argmax(lengths != width))
            raise DataError(
                f"{name} in {file} has {lengths[row]} numbers in row {first + row} and {width} in the first: write "
                "lists of one length"
            )
        rows = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        if not there.all():
            filled = np.full((len(there), width), np.nan, rows.dtype if rows.dtype.kind == "f" else np.float32)
            filled[there] = rows
            rows = filled
        first += len(rows)
        yield rows


def names_of_classes(facts: dict[str, str] | Any, column: str) -> list[str] | None:
    """The class names that `datasets` of Hugging Face keeps for a column of class numbers; None where it keeps none."""
    try:
        feature = parse_json(facts.get("huggingface", "{}"))["info"]["features"][column]
        return [str(name) for name in feature["names"]] if feature["_type"] == "ClassLabel" else None
    except (ValueError, LookupError, TypeError):
        return None
