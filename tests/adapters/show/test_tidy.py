"""Tidy tables as files: the same rows as text and with types."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow.parquet as pq

from adapters.show.tidy import csv_bytes, parquet_bytes

ROWS: list[dict[str, Any]] = [
    {"name": 'a,"b"', "shots": 1, "lr": 0.1, "mixed": 2, "none": None, "unused": 0},
    {"name": "ö\nx", "shots": 16, "lr": None, "mixed": "auto", "none": None, "unused": 0},
]
COLUMNS = ("shots", "name", "lr", "mixed", "none")


def columns_of(content: bytes) -> list[str]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")).fieldnames or [])


def test_text_has_the_columns_asked_for_and_no_loss() -> None:
    rows = [{name: row[name] for name in COLUMNS} for row in ROWS]
    content = csv_bytes(rows, COLUMNS, {})
    assert columns_of(content) == list(COLUMNS)
    assert b"\r" not in content
    read = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["name"] for row in read] == [row["name"] for row in ROWS]
    assert read[1]["lr"] == ""


def test_parquet_has_types_also_where_nothing_is_known() -> None:
    table = pq.read_table(io.BytesIO(parquet_bytes(ROWS, COLUMNS, {"none": "float"})))
    assert table.column_names == list(COLUMNS)
    types = {name: str(table.schema.field(name).type) for name in COLUMNS}
    assert types == {"shots": "int64", "name": "string", "lr": "double", "mixed": "string", "none": "double"}
    assert table.column("mixed").to_pylist() == ["2", "auto"]
    assert table.column("lr").to_pylist() == [0.1, None]
