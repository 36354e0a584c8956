"""A prediction as a row of a file, in the names that `adapters predict --json` has."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from adapters.predicting.predictor import Prediction
from featcache.records import Malformed, parse_json
from featcache.show import spreadsheet


class Damaged(ValueError):  # noqa: N818 - named as the reader will say it
    """A file holds something else than such rows; the message says what."""


class Row(NamedTuple):
    """What a file's row says of itself: the image's file, and the run that answered."""

    file: str
    run: str


def item_json(item: Prediction) -> dict[str, Any]:
    """`file, classes, set, rejected, error` as JSON-able values."""
    return {
        "file": item.id,
        "classes": [asdict(each) for each in item.top],
        "set": None if item.set is None else list(item.set),
        "rejected": item.rejected,
        "error": item.error,
    }


def as_text(name: str) -> str:
    """A file's name as text, also where its bytes are none."""
    return name.encode("utf-8", "backslashreplace").decode()


class Format(ABC):
    """Lines of a file that is written as rows come.

    Args:
        depth: classes of a row.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth

    @property
    @abstractmethod
    def head(self) -> str:
        """What stands above all rows."""

    @property
    def begins(self) -> str:
        """What each file of this format begins with."""
        return self.head

    @abstractmethod
    def line(self, item: Mapping[str, Any], run: str) -> str:
        """A row with its line feed; `item` as of `item_json`."""

    @abstractmethod
    def rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """The rows of a file. The last may be half written: then they end before it.

        Raises:
            Damaged: it holds something else.
        """


class Csv(Format):
    """`file, class_1, probability_1, …, set, rejected, error, run`, as a spreadsheet opens it."""

    @property
    def head(self) -> str:
        """The byte order mark and the names of the columns."""
        return spreadsheet.spreadsheet(self._columns(), [])

    def _columns(self) -> list[str]:
        ranks = [name for place in range(1, self.depth + 1) for name in (f"class_{place}", f"probability_{place}")]
        return ["file", *ranks, "set", "rejected", "error", "run"]

    def line(self, item: Mapping[str, Any], run: str) -> str:
        """Probabilities have six decimals."""
        cells = [cell for ranked in item["classes"] for cell in (ranked["name"], f"{ranked['probability']:.6f}")]
        in_set = None if item["set"] is None else "; ".join(item["set"])
        padding = [""] * (2 * self.depth - len(cells))
        return spreadsheet.lines([[item["file"], *cells, *padding, in_set, item["rejected"], item["error"] or "", run]])

    def rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """See `Format.rows`."""
        ended = [False]
        reader = csv.reader(_watched(lines, ended), strict=True)
        try:
            for place, cells in enumerate(reader):
                if place == 0:
                    cells[:1] = [cell.removeprefix(spreadsheet.BYTE_ORDER_MARK) for cell in cells[:1]]
                    if cells != self._columns():
                        raise Damaged(f"its columns are {', '.join(cells)[:80]}, expected {', '.join(self._columns())}")
                    continue
                if len(cells) != len(self._columns()):
                    raise Damaged(f"its line {reader.line_num} has {len(cells)} cells")
                yield Row(spreadsheet.plain(cells[0]), spreadsheet.plain(cells[-1]))
        except csv.Error as error:
            if not ended[0]:
                raise Damaged(f"its line {reader.line_num}: {error}") from error


def _watched(lines: Iterable[str], ended: list[bool]) -> Iterator[str]:
    yield from lines
    ended[0] = True


class JsonLines(Format):
    """An object a line, as an item of `--json`, and the run."""

    @property
    def head(self) -> str:
        """Nothing."""
        return ""

    @property
    def begins(self) -> str:
        """An object's first key."""
        return '{"file": '

    def line(self, item: Mapping[str, Any], run: str) -> str:
        """One line."""
        return json.dumps({**item, "run": run}, ensure_ascii=False) + "\n"

    def rows(self, lines: Iterator[str]) -> Iterator[Row]:
        """See `Format.rows`."""
        for number, line in enumerate(lines, 1):
            try:
                found = parse_json(line)
                row, classes = Row(found["file"], found["run"]), len(found["classes"])
            except (Malformed, KeyError, TypeError) as error:
                raise Damaged(f"its line {number} is no prediction") from error
            if classes not in (0, self.depth):
                raise Damaged(f"its line {number} has {classes} classes, expected {self.depth}")
            yield row
