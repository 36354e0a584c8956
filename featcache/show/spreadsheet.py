"""Tables as CSV that spreadsheets open as they are, and whose text they never run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

BYTE_ORDER_MARK = "\ufeff"
"""Tells a spreadsheet that the file is UTF-8."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell of text that begins with one of these may be taken for a formula (OWASP, "CSV Injection")."""


def spreadsheet(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under their columns as CSV: UTF-8 with its mark, text defused, None empty."""
    out = io.StringIO(newline="")
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([defused(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return BYTE_ORDER_MARK + out.getvalue()


def defused(text: str) -> str:
    """A cell that is shown as text: one that begins like a formula gets an apostrophe before it."""
    return f"'{text}" if plain(text).startswith(FORMULA_STARTS) else text


def plain(cell: str) -> str:
    """What `defused` was given: our own files can be read back after they were edited."""
    rest = cell.lstrip("'")
    return cell[1:] if rest != cell and rest.startswith(FORMULA_STARTS) else cell
