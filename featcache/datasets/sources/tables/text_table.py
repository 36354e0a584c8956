"""Tables of text as people save them: comma, semicolon, tab or bar between cells, in UTF-8, UTF-16 or Latin-1.

The first line names the columns; it tells what stands between cells, and the bytes of the whole file how it is encoded.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import BinaryIO

from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.errors import DataError

SUFFIXES = (".csv", ".tsv")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
"""What may stand between cells, and what it is called; of several that give as many columns the first."""

_BLOCK = 2**20
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NOT_IN_1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")
_CALLED = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "Latin-1", "latin-1": "Latin-1"}


@dataclass(frozen=True)
class TextTable:
    """A table that is open.

    Attributes:
        header: Names of columns, without space around them.
        rows: The line where each row ends, and its cells, likewise; empty lines are left out. Raises csv.Error.
        told: What was guessed of it, a line each.
    """

    header: Sequence[str]
    rows: Iterator[tuple[int, list[str]]]
    told: Sequence[str]


@contextmanager
def opened_table(folder: FolderReader | UrlFolder, file: str) -> Iterator[TextTable]:
    """Open a table.

    Raises:
        DataError: It is no text, or no table of cells; also while its rows are read.
        OSError: It cannot be read.
    """
    path, read = f"{folder}/{file}", 0

    def rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        nonlocal read
        for row in reader:
            read += 1
            if any(row):
                yield lines.line_num, [cell.strip() for cell in row]

    with folder.open(file) as raw:
        encoding = encoding_of(raw)
    try:
        with folder.open(file) as raw, TextIOWrapper(raw, newline="", encoding=encoding) as text:
            first = text.readline()
            delimiter = _delimiter(first)
            header = [
                cell.strip() for cell in next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
            ]
            lines = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
            lines_before = 1
            told = [f"encoding: {_CALLED[encoding]}"] if encoding in _CALLED else []
            told += [] if delimiter == "," else [f"cells: parted by {DELIMITERS[delimiter]}"]
            numbered = ((line + lines_before, row) for line, row in rows(lines))
            yield TextTable(header, _no_longer(numbered, len(header), DELIMITERS[delimiter], path), told)
    except csv.Error as error:
        place = f"{path} line {read + 2} or one soon after"
        raise DataError(
            f"{place} is not CSV ({error}): a quote is not closed, or it is another kind of file"
        ) from error
    except UnicodeError as error:
        raise DataError(f"{path} is not text in UTF-8, UTF-16 or Latin-1 ({error}): save it as CSV UTF-8") from error


def _no_longer(
    rows: Iterator[tuple[int, list[str]]], columns: int, parted: str, path: str
) -> Iterator[tuple[int, list[str]]]:
    """The same rows; one that has more cells than there are columns has lost a quote, and with it part of a name."""
    for line, cells in rows:
        if any(cells[columns:]):
            raise DataError(
                f"{path} line {line} has {len(cells)} cells, and the first line names {columns} columns: put text with "
                f"{parted} in it into quotes"
            )
        yield line, cells


def encoding_of(raw: BinaryIO) -> str:
    """How a file of text is encoded: by its mark, by zeros where UTF-16 has them, by whether all of it is UTF-8.

    What is neither is Windows' Latin-1, or where that lacks a letter, plain Latin-1; with zero bytes it is no text, and
    passes for UTF-8, which then cannot be read.
    """
    first = raw.read(_BLOCK)
    marked = next((encoding for mark, encoding in _MARKS.items() if first.startswith(mark)), None)
    if marked:
        return marked
    for zeros, encoding in ((first[1::2], "utf-16-le"), (first[::2], "utf-16-be")):
        if zeros.count(0) > len(zeros) / 2:
            return encoding
    decoder, chunk, is_utf8, seen = codecs.getincrementaldecoder("utf-8")(), first, True, set[int]()
    while chunk:
        seen |= set(chunk)
        try:
            if is_utf8:
                decoder.decode(chunk)
        except UnicodeDecodeError:
            is_utf8 = False
        chunk = raw.read(_BLOCK)
    if is_utf8 or 0 in seen:
        return "utf-8"
    return "latin-1" if seen & _NOT_IN_1252 else "cp1252"


def _delimiter(first: str) -> str:
    """What stands between the cells of the first line: what gives most columns."""
    counts = {each: len(next(csv.reader([first], delimiter=each), [])) for each in DELIMITERS if each != " "}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] > 1 or len(first.split()) < 2 else " "
