"""Predictions as Parquet: made of the rows that were written as lines, a group of rows at a time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.predicting.rows import Damaged, Row
from featcache.places.whole import PARTIAL, settle

GROUP = 16_384
"""Rows that are in memory together."""


def _schema() -> Any:
    import pyarrow as pa

    ranked = pa.struct([("name", pa.string()), ("probability", pa.float64())])
    return pa.schema(
        [
            ("file", pa.string()),
            ("classes", pa.list_(ranked)),
            ("set", pa.list_(pa.string())),
            ("rejected", pa.bool_()),
            ("error", pa.string()),
            ("run", pa.string()),
        ]
    )


def parquet_rows(path: Path) -> Iterator[Row]:
    """What the rows of a file say of themselves.

    Raises:
        Damaged: it is no such file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(_schema()):
                raise Damaged("its columns are not those of predictions")
            for group in range(file.num_row_groups):
                found = file.read_row_group(group, columns=["file", "run"])
                yield from map(Row, found["file"].to_pylist(), found["run"].to_pylist())
    except pa.ArrowException as error:
        raise Damaged(f"it is no Parquet file ({' '.join(str(error).split())})") from error


def merge_parquet(path: Path, lines: Path) -> None:
    """Put rows that were written as lines behind those that a file has, and take the lines away.

    The file is the old one or the new one, whatever happens meanwhile.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.exists() and lines.stat().st_size == 0:
        lines.unlink()
        return
    schema = _schema()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        with pq.ParquetWriter(temporary, schema) as writer:
            if path.exists():
                with pq.ParquetFile(path) as before:
                    for group in range(before.num_row_groups):
                        writer.write_table(before.read_row_group(group))
            with lines.open(encoding="utf-8") as stream:
                rows: list[dict[str, Any]] = []
                for line in stream:
                    rows.append(json.loads(line))
                    if len(rows) == GROUP:
                        writer.write_table(pa.Table.from_pylist(rows, schema))
                        rows = []
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema))
        settle(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    settle(path.parent)
    lines.unlink()
