"""Images in a column of Parquet and Arrow files: bytes, or Hugging Face's `{bytes, path}`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from featcache.datasets.readers.bounded import MOST_BYTES, check_size
from featcache.errors import DataError, in_a_line

BATCH = 32
"""Rows of a Parquet file that are kept decoded: row groups may be larger than memory."""
BUFFER = 2**20
"""Bytes read at once of a Parquet file; a row group would be read as a whole otherwise."""


class _Rows(Protocol):
    """The image column of one file."""

    def value(self, row: int) -> Any: ...

    def sizes(self) -> npt.NDArray[np.int64]: ...


@dataclass(frozen=True)
class TableReader:
    """Rows of files below a folder; ids are `file/row`, with the file's path relative to it and rows from 0.

    Reading in order decodes each row once. A file stays open in the process that reads it, one at a time.
    """

    root: Path
    column: str
    most: int = MOST_BYTES
    _open: dict[int, tuple[str, _Rows]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, image_id: str) -> bytes:
        """The image's file.

        Raises:
            DataError: The table is damaged, or has no bytes there, or more than `most`.
            OSError: It cannot be read.
        """
        file, _, row = image_id.rpartition("/")
        with undamaged(self.root / file):
            value = self._rows(file).value(int(row))
        found = value.get("bytes") if isinstance(value, dict) else value
        if not found:
            only = f", only the path {value['path']}" if isinstance(value, dict) and value.get("path") else ""
            raise DataError(f"the table has no bytes of the image{only}")
        check_size(len(found), self.most)
        return bytes(found)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each image; of Parquet those of its row group as stored, which the end of the file tells.

        -1 where there is no such file.
        """
        last, known = None, None
        for image_id in ids:
            file, _, row = image_id.rpartition("/")
            if file != last:
                last, known = file, self._rows(file).sizes() if (self.root / file).exists() else None
            yield -1 if known is None else int(known[int(row)])

    def _rows(self, file: str) -> _Rows:
        process = os.getpid()
        if self._open.get(process, ("", None))[0] != file:
            rows = (_ArrowRows if file.endswith(".arrow") else _ParquetRows)(self.root / file, self.column)
            self._open[process] = file, rows
        return self._open[process][1]

    def __getstate__(self) -> tuple[Path, str, int]:
        return self.root, self.column, self.most

    def __setstate__(self, state: tuple[Path, str, int]) -> None:
        for name, value in zip(("root", "column", "most", "_open"), (*state, {}), strict=True):
            object.__setattr__(self, name, value)


class _ParquetRows:
    """Decodes a row group from its beginning, a few rows at a time, and goes on from there."""

    def __init__(self, path: Path, column: str) -> None:
        self.file, self.column = open_parquet(path), column
        groups = self.file.metadata.num_row_groups
        self.ends = np.cumsum([self.file.metadata.row_group(group).num_rows for group in range(groups)])
        self.group, self.first = -1, 0
        self.rows: Any = []
        self.batches: Iterator[Any] = iter(())

    def value(self, row: int) -> Any:
        group = int(np.searchsorted(self.ends, row, side="right"))
        if group != self.group or row < self.first:
            self.group, self.first, self.rows = group, int(self.ends[group - 1]) if group else 0, []
            self.batches = self.file.iter_batches(BATCH, row_groups=[group], columns=[self.column])
        self.group = -1  # until the row is there: after an error the batches go no further
        while row >= self.first + len(self.rows):
            self.first += len(self.rows)
            self.rows = next(self.batches).column(0)
        self.group = group
        return self.rows[row - self.first].as_py()

    def sizes(self) -> npt.NDArray[np.int64]:
        """Of each row: bytes of the row group's images as stored."""
        groups = [self.file.metadata.row_group(group) for group in range(self.file.metadata.num_row_groups)]
        bytes_ = [
            sum(
                chunk.total_compressed_size
                for chunk in map(group.column, range(group.num_columns))
                if chunk.path_in_schema.split(".")[0] == self.column
            )
            for group in groups
        ]
        return np.repeat(np.array(bytes_, np.int64), [group.num_rows for group in groups])


class _ArrowRows:
    """A file as `save_to_disk` writes it, mapped into memory."""

    def __init__(self, path: Path, column: str) -> None:
        self.rows = open_arrow(path).column(column)

    def value(self, row: int) -> Any:
        return self.rows[row].as_py()

    def sizes(self) -> npt.NDArray[np.int64]:
        """Of each row: bytes of the image."""
        import pyarrow as pa
        import pyarrow.compute as pc

        images = pc.struct_field(self.rows, "bytes") if pa.types.is_struct(self.rows.type) else self.rows
        return np.asarray(pc.fill_null(pc.binary_length(images), -1), dtype=np.int64)


@contextmanager
def undamaged(path: Path | str) -> Iterator[None]:
    """Say in a line that a table is damaged where its rows are read.

    Raises:
        DataError: It is.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, StopIteration) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; Arrow's of damage have none
            raise
        reason = in_a_line(error) or "it ends before its last row"
        raise DataError(f"{path} is damaged ({reason}): write or download it again") from error


def open_parquet(path: Path | BinaryIO) -> Any:
    """A Parquet file, of which no more is read than is asked for.

    Raises:
        DataError: It is no Parquet file, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({in_a_line(error)}): write or download it again"
        ) from error


def open_arrow(path: Path) -> Any:
    """A table of Arrow's stream format, mapped into memory.

    Raises:
        DataError: It is no such file, or damaged.
    """
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path} is not a readable Arrow file ({in_a_line(error)}): write or download it again"
        ) from error
