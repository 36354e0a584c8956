"""Tables with an image column: Parquet as on the Hugging Face hub, and folders that `datasets` saved to disk.

The image column is the one that the table's own description calls an Image, else one of `{bytes, path}`, else one of
bytes. The label column is a ClassLabel, else one called as in `LABEL_NAMES`; of several ClassLabels the one called so,
else the one with most classes. The label -1 is none, as in Hugging Face's test sets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featcache.datasets.labelled import LABEL_NAMES, Row, list_labelled, splits_in
from featcache.datasets.listing import Listing
from featcache.datasets.readers.table_rows import TableReader, open_arrow, open_parquet, undamaged
from featcache.datasets.sources.source import METADATA, Asked, Opened, Source
from featcache.datasets.sources.tables.columns import LABEL, PATH
from featcache.errors import DataError, in_a_line
from featcache.records import parse_json

STATE = "state.json"
"""What `save_to_disk` writes beside the files of a split: their names, among other things."""

_NUMBERED = re.compile(r"(.*)-(\d+)-of-(\d+)(.*)")


@dataclass(frozen=True)
class Columns:
    """Which columns hold images and labels.

    Attributes:
        image: Name of the image column; None: there is none.
        label: Name of the label column; None: there is none.
        classes: (C,) names of integer labels; None: labels are their own names.
    """

    image: str | None
    label: str | None
    classes: tuple[str, ...] | None

    @classmethod
    def of(cls, schema: Any) -> Columns:
        """The columns of a table, by its Arrow schema."""
        import pyarrow as pa

        features = _features(schema)
        types = {name: schema.field(name).type for name in schema.names}
        images = [name for name in types if _is(features.get(name), "Image")]
        images += [n for n, t in types.items() if pa.types.is_struct(t) and t.get_field_index("bytes") >= 0]
        images += [n for n, t in types.items() if pa.types.is_binary(t) or pa.types.is_large_binary(t)]
        coded = {name: tuple(features[name]["names"]) for name in types if _is(features.get(name), "ClassLabel")}
        of_labels = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary)
        plain = [n for n, t in types.items() if any(is_of(t) for is_of in of_labels)]
        finest = sorted(coded, key=lambda name: -len(coded[name]))
        label = next(iter([*_called(coded), *finest, *_called(plain)]), None)
        return cls(next(iter(images), None), label, coded.get(label or ""))


def _features(schema: Any) -> Mapping[str, Any]:
    """What the table's own description says of its columns."""
    try:
        found = parse_json((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError):  # none, or nothing that could be used: types of columns tell
        return {}
    return found if isinstance(found, dict) else {}


def _is(feature: Any, kind: str) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == kind


def _called(names: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Those that are called as labels are."""
    return [name for name in LABEL_NAMES if name in names]


def recognises(asked: Asked) -> bool:
    """A folder of tables, or a Parquet file with an image column that lists no files."""
    if asked.is_url or not asked.exists:
        return False
    if asked.is_folder:
        return asked.holds in (".parquet", ".arrow")
    return asked.suffix == ".parquet" and _holds_images(open_parquet(asked.path).schema_arrow)


def _holds_images(schema: Any) -> bool:
    """Whether a table has an image column; beside paths and labels, plain bytes may be anything, such as hashes."""
    import pyarrow as pa

    image = Columns.of(schema).image
    lists_files = {PATH, LABEL} <= set(schema.names)
    return image is not None and (
        not lists_files or pa.types.is_struct(schema.field(image).type) or _is(_features(schema).get(image), "Image")
    )


def open_tables(asked: Asked) -> Opened:
    """List the rows of a table or of a folder of them. Raises as `list_tables`."""
    asked.take_no_split_file("name the files as their split, such as train-0.parquet and test-0.parquet")
    asked.take_no_class_depth()
    root, files = (asked.path, _files(asked)) if asked.is_folder else (asked.path.parent, [asked.file_name])
    listing, reader = list_tables(root, dict(zip(files, splits_in(files), strict=True)), asked)
    return Opened(listing=listing, reader=reader, name=asked.name, where=asked.where)


def _files(asked: Asked) -> list[str]:
    """The tables of a folder; beside those that were saved there may be others, which `datasets` keeps to itself."""
    paths = asked.folder.paths()
    states = [path for path in paths if Path(path).name == STATE] if asked.holds == ".arrow" else []
    saved = [path.removesuffix(STATE) + name for path in states for name in _saved(asked, path)]
    tables = [path for path in paths if path.lower().endswith(asked.holds) and Path(path).name not in METADATA]
    return saved or tables


def _saved(asked: Asked, state: str) -> list[str]:
    """The files that `save_to_disk` says it wrote."""
    try:
        return [str(each["filename"]) for each in parse_json(asked.folder.read(state)).get("_data_files", [])]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{asked.where}/{state} is damaged ({in_a_line(error)}): save the data set again") from error


def list_tables(root: Path, files: Mapping[str, str | None], asked: Asked) -> tuple[Listing, TableReader]:
    """List the rows of files below a folder, with the split of each; ids are `file/row`.

    Raises:
        DataError: A file is damaged or one of its siblings is missing, files have other columns or classes than the
            first, no image column, no label column, or as `list_labelled`.
    """
    _check_siblings(root, files)
    rows: list[Row] = []
    columns: Columns | None = None
    for file, split in files.items():
        schema, read = _opened(root / file)
        its = Columns.of(schema)
        columns = columns or its
        if its != columns:
            raise DataError(
                f"{root / file} has other columns or classes than {next(iter(files))}: give a folder of each"
            )
        if its.image is None or its.label is None:
            what = "images (as bytes)" if its.image is None else f"labels: call it {LABEL_NAMES[0]}"
            raise DataError(f"{root / file} has the columns {', '.join(schema.names)}, and none of {what}")
        with undamaged(root / file):
            values = read(its.label)
        labels = (_text(value, its.classes, root / file) for value in values)
        rows += [Row(f"{file}/{number}", label, split) for number, label in enumerate(labels)]
    assert columns is not None
    assert columns.image is not None
    listing = list_labelled(
        rows,
        where=asked.where,
        seed=asked.seed,
        splits_from="names of files",
        names_from=f"column {columns.label}",
        classes=columns.classes,
    )
    return listing, TableReader(root, columns.image)


def _opened(path: Path) -> tuple[Any, Callable[[str], list[Any]]]:
    """The schema of a table, and what reads a column."""
    if path.suffix == ".arrow":
        table = open_arrow(path)
        return table.schema, lambda name: list(table.column(name).to_pylist())
    file = open_parquet(path)
    return file.schema_arrow, lambda name: list(file.read([name]).column(0).to_pylist())


def _text(value: int | str | None, classes: Sequence[str] | None, path: Path) -> str:
    """A label in words; empty where there is none."""
    if classes is None or isinstance(value, str):
        return "" if value is None else str(value).strip()
    if value is not None and value >= len(classes):
        raise DataError(f"{path} has the label {value} and {len(classes)} classes: write it again")
    return "" if value is None or value < 0 else classes[value]


def _check_siblings(root: Path, files: Iterable[str]) -> None:
    """Refuse files of which each names how many they are, `train-00000-of-00004`, where one is not there."""
    numbered = [match for match in map(_NUMBERED.fullmatch, files) if match]
    there = {(match[1], int(match[2]), match[3]) for match in numbered}
    for start, of, suffix in {(match[1], match[3], match[4]) for match in numbered}:
        missing = [number for number in range(int(of)) if (start, number, of) not in there]
        if missing:
            first = f"{start}-{missing[0]:05d}-of-{of}{suffix}"
            raise DataError(f"{root} lacks {len(missing)} of {int(of)} files, first {first}: download them again")


IMAGE_TABLES = Source(recognises=recognises, open=open_tables)
