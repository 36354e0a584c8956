"""Tables with a column for each class, as Roboflow exports them: `filename,cat,dog`, and a 1 in the image's column.

The file is `_classes.csv` beside its images, one for all or one in each folder of a split, or any CSV of that form that
is given itself. An image has one class here: a row with several is refused, and one with none has no label.
"""

from __future__ import annotations

from collections.abc import Iterator

from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.datasets.sources.tables.metadata_file import Folder, listed_beside, tables_beside
from featcache.datasets.sources.tables.text_table import SUFFIXES, opened_table
from featcache.errors import DataError

NAMES = ("_classes.csv",)
FILE_COLUMNS = ("filename", "file_name", "image")
"""What the first column is called, that of files."""


def recognises(asked: Asked) -> bool:
    """A folder with such files, or a CSV that begins so."""
    if not asked.exists:
        return False
    if asked.suffix in SUFFIXES:
        return _is_onehot(asked.folder, asked.file_name)
    return asked.is_folder and any(_is_onehot(asked.folder, file) for file in tables_beside(asked.folder, NAMES))


def open_onehot(asked: Asked) -> Opened:
    """List the images that the files name, in their order.

    Raises:
        DataError: A file cannot be read, an image has several classes, is not there or is listed twice, or as
            `list_labelled`.
    """
    asked.take_no_split_file("put the images of each split into a folder train, valid or test")
    asked.take_no_class_depth()
    files = [asked.file_name] if asked.suffix in SUFFIXES else tables_beside(asked.folder, NAMES)
    labels: dict[str, str] = {}
    for file in files:
        above = file.rpartition("/")[0]
        for line, name, classes in _rows(asked.folder, file):
            where, image = f"{asked.folder}/{file} line {line}", f"{above}/{name}".lstrip("/")
            if len(classes) > 1:
                raise DataError(
                    f"{where}: {name} has {len(classes)} classes, {', '.join(classes[:3])}: an image has one class "
                    "here; leave such rows out, or write a CSV with the columns path,label"
                )
            if image in labels:
                raise DataError(f"{where} lists {image} twice: keep one of the rows")
            labels[image] = classes[0] if classes else ""
    return listed_beside(asked, labels, table=files[0], names_from=f"columns of {files[0]}")


def _is_onehot(folder: Folder, file: str) -> bool:
    """Whether the first row of a table is of this form; what cannot be read is for others to say."""
    try:
        return next(_rows(folder, file), None) is not None
    except (DataError, OSError):
        return False


def _rows(folder: Folder, file: str) -> Iterator[tuple[int, str, list[str]]]:
    """(line, file name, classes) of each row."""
    with opened_table(folder, file) as table:
        _, *classes = header = list(table.header) or [""]
        if header[0] not in FILE_COLUMNS or not classes:
            raise DataError(f"{folder}/{file} does not begin with filename and classes")
        for line, (name, *marks) in table.rows:
            if len(marks) != len(classes) or not set(marks) <= {"0", "1"}:
                place = f"{folder}/{file} line {line}"
                raise DataError(f"{place}: expected a file name and a 0 or 1 for each of {len(classes)} classes")
            yield line, name, [one for one, mark in zip(classes, marks, strict=True) if mark == "1"]


ONEHOT_FILE = Source(recognises=recognises, open=open_onehot)
