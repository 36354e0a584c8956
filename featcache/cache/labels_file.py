"""Labels mended after extraction: a CSV of `id,label` over the labels that a cache was made with.

    id,label,split
    forest/0012.jpg,river,        another label
    forest/0040.jpg,,train        left out: no label

`split` may be missing or empty, which means every split that has the id; other columns are not read. Files that
`featcache.show.spreadsheet` wrote, and those that a spreadsheet saved again, are understood.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from featcache.cache.layout import UNLABELLED
from featcache.errors import CacheError
from featcache.show.spreadsheet import BYTE_ORDER_MARK, plain

EXPECTED = "expected a CSV file with the columns id and label, and for an image to be left out an empty label"


class Line(NamedTuple):
    """What a line says of an image; an empty split means every one, an empty label none."""

    split: str
    id: str
    label: str


@dataclass(frozen=True)
class LabelsFile:
    """A file of labels.

    Attributes:
        path: where it is, absolute.
        lines: what it says, sorted; nothing twice.
    """

    path: str
    lines: tuple[Line, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of what it says: however it is written, and in whatever order."""
        return hashlib.sha256(json.dumps(self.lines).encode()).hexdigest()


@dataclass(frozen=True)
class Mended:
    """What a labels file made of the labels of a cache.

    Attributes:
        file: where it is, absolute; `digest` of what it says.
        changed: how many images have another label than before, of every split; `left_out` how many have none now.
    """

    file: str
    digest: str
    changed: dict[str, int]
    left_out: dict[str, int]

    @property
    def told(self) -> str:
        """What it does, in a line."""
        changed, left_out = (sum(counts.values()) for counts in (self.changed, self.left_out))
        where = [f"{split} {n + self.left_out[split]}" for split, n in self.changed.items()]
        inside = f" ({', '.join(where)})" if changed + left_out else ""
        return f"{Path(self.file).name} changes {changed} labels and leaves {left_out} images out{inside}"

    def to_json(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return {"file": self.file, "digest": self.digest, "changed": self.changed, "left_out": self.left_out}


def read_labels_file(path: str | Path) -> LabelsFile:
    """Read a labels file.

    Raises:
        CacheError: it cannot be read, lacks a column, or says two things of one image.
    """
    place = Path(path).expanduser()
    try:
        text = place.read_text(encoding="utf-8").removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise CacheError(f"--labels {place}: {error.strerror or error}; {EXPECTED}") from error
    except UnicodeDecodeError as error:
        raise CacheError(f"--labels {place} is not UTF-8; save it as CSV UTF-8") from error
    found: dict[tuple[str, str], Line] = {}
    try:
        for line in _lines(text, place):
            other = found.setdefault((line.split, line.id), line)
            if other.label != line.label:
                raise CacheError(
                    f"--labels {place} calls {line.id} both {other.label!r} and {line.label!r}; expected one label for "
                    "each image"
                )
    except csv.Error as error:
        raise CacheError(f"--labels {place} is no CSV ({error}); {EXPECTED}") from error
    return LabelsFile(str(place.resolve()), tuple(sorted(found.values())))


def _lines(text: str, place: Path) -> Iterator[Line]:
    first = text.partition("\n")[0]
    separator = ";" if first.count(";") > first.count(",") else ","  # as spreadsheets write where a comma is decimal
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    columns = [cell.strip() for cell in next(rows, [])]
    for name in ("id", "label"):
        if name not in columns:
            raise CacheError(f"--labels {place} has no column {name!r}; {EXPECTED}")
    at = {name: columns.index(name) for name in ("id", "label", "split") if name in columns}
    for cells in rows:
        if not any(cells):
            continue
        if len(cells) <= max(at["id"], at["label"]):
            raise CacheError(f"--labels {place}, line {rows.line_num}: {len(cells)} cells; {EXPECTED}")
        split = cells[at["split"]] if "split" in at and at["split"] < len(cells) else ""
        yield Line(plain(split), plain(cells[at["id"]]), plain(cells[at["label"]]))


def new_labels(
    labels_file: LabelsFile, ids: Mapping[str, Iterable[str]], class_names: Sequence[str]
) -> dict[str, dict[int, int]]:
    """The label of every row that the file names, by split.

    Args:
        labels_file: what was given.
        ids: of every split, (N,).
        class_names: the cache's C classes.

    Raises:
        CacheError: it names images or classes that the cache lacks: the first one and how many.
    """
    codes = {name: code for code, name in enumerate(class_names)} | {"": UNLABELLED}
    wrong = [line for line in labels_file.lines if line.label not in codes]
    if wrong:
        label = wrong[0].label
        near = difflib.get_close_matches(label, class_names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CacheError(
            f"--labels {labels_file.path}: {label!r} is no class of the cache (of {wrong[0].id}; {_count(wrong)}); "
            f"{hint}expected one of its {len(class_names)} class names: {_some(class_names)}"
        )
    where: dict[tuple[str, str], list[int]] = {}  # of an id that a split has twice, both rows
    for split, names in ids.items():
        for row, image_id in enumerate(names):
            where.setdefault((split, str(image_id)), []).append(row)
    found: dict[str, dict[int, int]] = {split: {} for split in ids}
    unknown = []
    # Lines that name a split come last: they count more.
    for line in labels_file.lines:
        splits = [split for split in ids if line.split in ("", split) and (split, line.id) in where]
        if not splits:
            unknown.append(line)
        for split in splits:
            found[split] |= dict.fromkeys(where[split, line.id], codes[line.label])
    if unknown:
        first = unknown[0]
        place = f"split {first.split!r} of the cache" if first.split else "the cache"
        example = next((image_id for _, image_id in where), "none at all")
        raise CacheError(
            f"--labels {labels_file.path}: {place} has no image {first.id!r} ({_count(unknown)}); expected ids such as "
            f"{example}: type `adapters audit --csv FILE` for a file to edit"
        )
    return found


def _count(wrong: Sequence[Line]) -> str:
    return f"{len(wrong)} such line{'s' if len(wrong) > 1 else ''}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
