"""The file that predictions are written to as they come, and found in again when the command is repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from adapters.errors import AdapterError
from adapters.predicting.parquet import merge_parquet, parquet_rows
from adapters.predicting.predictor import Prediction
from adapters.predicting.rows import Csv, Damaged, Format, JsonLines, Row, as_text, item_json
from featcache.places.whole import PARTIAL

FORMATS: dict[str, type[Format]] = {".csv": Csv, ".jsonl": JsonLines, ".parquet": JsonLines}
"""How rows are written as they come, by a file's suffix: Parquet is made of lines once all are there."""
OPTION = "--out"


class OutFile:
    """Rows that are there, and behind them those to come. A row that was half written is taken away.

    Args:
        path: ends in .csv, .jsonl or .parquet.
        run: who answers; a file of another is refused.
        depth: classes of a row.

    Attributes:
        path: of the file.
        done: files that have a row.

    Raises:
        AdapterError: it has another ending, cannot be written, or holds something else.
    """

    def __init__(self, path: Path, run: str, depth: int) -> None:
        self.path = path = path.expanduser()
        _check(path)
        self.done: set[str] = set()
        self._run, self._format = run, FORMATS[path.suffix](depth)
        self._parquet = path.suffix == ".parquet"
        self._lines = path.with_name(f"{path.name}{PARTIAL}.jsonl") if self._parquet else path
        read = path
        try:
            if self._parquet and path.exists():
                self._found(parquet_rows(path))
            read = self._lines
            # Opened to be changed, so that a place that cannot be written is told now.
            self._stream = self._lines.open("r+b" if self._lines.exists() else "w+b")
            with ExitStack() as refused:
                refused.callback(self._stream.close)
                self._go_to_the_end()
                refused.pop_all()
        except Damaged as error:
            raise AdapterError(f"{OPTION} {read}: {error}: give another file, or remove it") from error
        except OSError as error:
            reason = error.strerror or error
            raise AdapterError(f"{OPTION} {read} cannot be written ({reason}): give another file") from error

    def _go_to_the_end(self) -> None:
        """Read what is there, take away what was half written, and stand behind the last row."""
        lines, merged = _WholeLines(self._stream), frozenset(self.done)
        whole = 0
        try:
            for row in self._format.rows(line.decode() for line in lines):
                if row.file in merged:  # a Parquet file was made of them, and they were to be taken away
                    whole = 0
                    break
                self._found([row])
                whole = lines.end
        except UnicodeDecodeError as error:
            raise Damaged("it is not UTF-8") from error
        if not whole:
            self._stream.seek(0)
            begins = self._format.begins.encode()
            there = self._stream.read(len(begins))
            if there != begins[: len(there)]:
                raise Damaged("it is no file of predictions")
        self._stream.seek(whole)
        self._stream.truncate()
        if not whole:
            self._stream.write(self._format.head.encode())

    def _found(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.run != self._run:
                raise Damaged(f"it holds answers of run {row.run}, not of {self._run}")
            self.done.add(row.file)

    def has(self, file: str) -> bool:
        """Whether a file has its row."""
        return as_text(file) in self.done

    def write(self, item: Prediction) -> None:
        """Write a row; whoever reads the file sees it after `flush`."""
        told = item_json(item)
        told["file"] = as_text(item.id)
        self.done.add(told["file"])
        by = f"{self._run} {item.said}".strip()  # another word than the run alone: the two are never mixed in a file
        self._stream.write(self._format.line(told, by).encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Hand rows to the system: they outlive this process."""
        self._stream.flush()

    def finish(self) -> None:
        """All rows are written: a Parquet file is made of them."""
        self.close()
        if self._parquet:
            merge_parquet(self.path, self._lines)

    def close(self) -> None:
        """Leave the file as it is, to be continued."""
        self._stream.close()


class _WholeLines:
    """Lines of a file that are whole, and where the last one that was given ended."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.end = stream, 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            if line.endswith(b"\n"):
                self.end += len(line)
                yield line


def _check(path: Path) -> None:
    """Refuse what cannot be such a file.

    Raises:
        AdapterError: says why.
    """
    if path.suffix not in FORMATS:
        raise AdapterError(f"{OPTION} {path} given; expected a file that ends in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise AdapterError(f"{OPTION} {path}: there is no folder {path.parent}: make it, or give another file")
    if path.exists() and not path.is_file():
        raise AdapterError(f"{OPTION} {path} is no regular file, which can be continued: give one")
