"""What a search keeps on disk: the whole grid as Parquet and CSV, what was chosen as JSON.

    DIR/search.parquet   one row a draw and setting: options, selection accuracy, whether it was chosen, test accuracy
    DIR/search.csv       the same as text
    DIR/search.json      what was chosen and the summary

Only chosen rows have a test accuracy. Every file is written under another name and moved into place.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.errors import RunError
from adapters.head_files import write_whole
from adapters.runs.folder import slug
from adapters.search.facts import Facts
from adapters.search.results import CSV, JSON, PARQUET, Results
from featcache.places.home import local_home

_TYPES = {name: pa.float64() for name in ("alpha_lo", "alpha_hi", "selection_accuracy", "test_accuracy")}
_TYPES["stopped_at"] = pa.int64()


def folder_for(facts: Facts, out: Path | str | None, root: str | None) -> Path:
    """The folder for the results, made if need be; the same one for the same question.

    Raises:
        RunError: it cannot be made.
    """
    asked = json.dumps(asdict(facts), sort_keys=True, default=str)
    name = slug(f"{facts.cache_name}-{facts.method}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}")
    return made(local_home(root) / "search" / name if out is None else Path(out).expanduser(), "--out")


def made(folder: Path, option: str) -> Path:
    """The absolute path of a folder that is there from now on.

    Raises:
        RunError: it cannot be made; the message names the option that gives another.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot write {folder} ({error.strerror or error}): give another folder with {option}"
        ) from error
    return folder.resolve()


def write(results: Results) -> None:
    """Write the three files.

    Raises:
        RunError: they cannot be written.
    """
    rows = results.rows
    text = io.StringIO(newline="")
    lines = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    columns = io.BytesIO()
    pq.write_table(pa.table({name: _column(name, [row[name] for row in rows]) for name in rows[0]}), columns)
    content = json.dumps(results.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        write_whole(results.folder / CSV, text.getvalue().encode())
        write_whole(results.folder / PARQUET, columns.getvalue())
        write_whole(results.folder / JSON, content.encode())
    except OSError as error:
        raise RunError(
            f"cannot write {results.folder} ({error.strerror or error}): give another folder with --out"
        ) from error


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    """Values of one type; text where an option takes words and numbers."""
    if name in _TYPES:  # also where no row has one
        return pa.array(values, _TYPES[name])
    kinds = {type(value) for value in values if value is not None}
    if str in kinds and len(kinds) > 1:
        values = [value if value is None else str(value) for value in values]
    return pa.array(values)
