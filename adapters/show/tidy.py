"""Tidy tables as files: one row a result, written as CSV to be read and as Parquet with types, and JSON beside them.

The three of one writing belong together: `beside` in the JSON holds the SHA-256 of each table, by which a reader that
came between two of them can tell.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from featcache.show.spreadsheet import defused

Rows = Sequence[Mapping[str, Any]]
"""At least one column; all rows have the same."""
Types = Mapping[str, str]
"""Types of columns by name, `str`, `int`, `float` or `bool`; those that are not there follow from their values."""


def csv_bytes(rows: Rows, columns: Sequence[str], types: Types) -> bytes:
    """Comma-separated text with a line of names; without a byte order mark, for it is programs that read it."""
    text = io.StringIO(newline="")
    lines = csv.DictWriter(text, columns, lineterminator="\n")
    lines.writeheader()
    lines.writerows(
        {name: defused(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows
    )
    return text.getvalue().encode()


def parquet_bytes(rows: Rows, columns: Sequence[str], types: Types) -> bytes:
    """Parquet; a column of words and numbers becomes text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}

    def column(name: str) -> Any:
        values = [row[name] for row in rows]
        if name in types:  # also where no row has one
            return pa.array(values, known[types[name]])
        kinds = {type(value) for value in values if value is not None}
        if str in kinds and len(kinds) > 1:
            values = [value if value is None else str(value) for value in values]
        return pa.array(values)

    content = io.BytesIO()
    pq.write_table(pa.table({name: column(name) for name in columns}), content)
    return content.getvalue()


TIDY_FORMATS = {".csv": csv_bytes, ".parquet": parquet_bytes}
"""The list: a file's suffix, and what makes its content."""


def tidy_files(
    name: str, rows: Rows, columns: Sequence[str], types: Types, content: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files of a result, by their names: its tables, and `content` as JSON, which vouches for them."""
    tables = {f"{name}{suffix}": write(rows, columns, types) for suffix, write in TIDY_FORMATS.items()}
    beside = {table: hashlib.sha256(written).hexdigest() for table, written in tables.items()}
    text = json.dumps({**content, "beside": beside}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return {**tables, f"{name}.json": text.encode()}
