"""Which column of a table is what: as it is told, as it is called, or the only one that it can be, which is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from featcache.datasets.labelled import LABEL_NAMES
from featcache.errors import DataError

PATH, LABEL, SPLIT = "path", "label", "split"
NONE = "none"
"""What is typed for a column of splits that is to be left alone."""

_OTHERS = {
    PATH: [
        *("paths", "image", "image_path", "img", "img_path", "image_name", "file", "file_path", "filepath"),
        *("file_name", "filename", "image_id", "id"),
    ],
    LABEL: [*(name for name in LABEL_NAMES if name != LABEL), "target", "label_name", "species", "breed", "y"],
    SPLIT: ["splits", "subset", "partition", "set"],
}
"""Other names, in small letters."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What is told of a table that lists images.

    Attributes:
        path_column: Its column of files.
        label_column: That of labels.
        split_column: That of splits; `none`: it has none.
        image_dir: The folder that files are relative to; None: the table's, or one below that has all of them.
        suffix: What the names of files lack at their end, such as `.jpg`.
    """

    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    image_dir: Path | None = None
    suffix: str | None = None

    @property
    def first_flag(self) -> str | None:
        """The first option that was given, as it is typed; None where none was."""
        given = (field.name for field in fields(self) if getattr(self, field.name) is not None)
        return next((f"--{name.replace('_', '-')}" for name in given), None)


NOTHING_TOLD = TableOptions()


@dataclass(frozen=True)
class Columns:
    """The names of columns, and what was guessed of them, a line each."""

    path: str
    label: str
    split: str | None
    told: Sequence[str]


def columns_in(header: Sequence[str], options: TableOptions, where: str) -> Columns:
    """Say which column is what.

    Args:
        header: Names of columns.
        options: What is told of them.
        where: What messages call the table.

    Raises:
        DataError: A column is missing, there is no such column, or two would do.
    """
    told = list[str]()
    asked = {PATH: options.path_column, LABEL: options.label_column, SPLIT: options.split_column}
    found: dict[str, str | None] = {
        what: None if what == SPLIT and name == NONE else _column(header, what, name, where, told)
        for what, name in asked.items()
    }
    others = [name for name in header if name and name not in found.values()]
    if found[PATH] and not found[LABEL] and len(others) == 1:
        found[LABEL] = others[0]
        told.append(f"{LABEL}s: column {others[0]}, the only other one")
    path, label = found[PATH], found[LABEL]
    if path is None or label is None:
        missing = [what for what in (PATH, LABEL) if found[what] is None]
        raise DataError(
            f"{where} has the columns {', '.join(header) or 'nothing'}: its first line must name path and label (and "
            f"split, if you like), {' and '.join(missing)} is missing: type --{missing[0]}-column NAME"
        )
    return Columns(path, label, found[SPLIT], told)


def _column(header: Sequence[str], what: str, name: str | None, where: str, told: list[str]) -> str | None:
    """The column of that kind; None where there is none."""
    if name is not None:
        if name not in header:
            raise DataError(f"--{what}-column {name}: {where} has the columns {', '.join(header) or 'nothing'}")
        return name
    if what in header:
        return what
    others = [column for column in header if column.lower() in (what, *_OTHERS[what])]
    if len(others) > 1:
        raise DataError(
            f"{where} has the columns {' and '.join(others)}, and each may be the {what}: type --{what}-column "
            f"{others[0]}"
        )
    if others:
        told.append(f"{what}s: column {others[0]}")
    return others[0] if others else None
