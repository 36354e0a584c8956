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
    return BYTE_ORDER_MARK + lines([columns]) + lines(rows)


def lines(rows: Iterable[Sequence[object]]) -> str:
    """Rows of such a file, each with its line feed."""
    return "".join(map(_line, rows))


def _line(row: Sequence[object]) -> str:
    out = io.StringIO(newline="")
    # What may end a line is quoted, and a carriage return alone ends one for most readers.
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([defused(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue().removesuffix("\r\n") + "\n"


def defused(text: str) -> str:
    """A cell that is shown as text: one that begins like a formula gets an apostrophe before it."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA_STARTS) else text


def plain(cell: str) -> str:
    """What `defused` was given: our own files can be read back after they were edited."""
    rest = cell.lstrip("'")
    return cell[1:] if rest != cell and rest.startswith(FORMULA_STARTS) else cell
