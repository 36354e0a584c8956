"""Which array is what, by its name: `image_features` are embeddings, `y_test` labels of test.

Names of our own exports go before others'. Where two names would do, neither is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from featcache.array_names import CLASS_NAMES, EMBEDDINGS, IDS, LABELS, SCALE
from featcache.array_names import SPLITS as SPLIT_COLUMN
from featcache.array_names import TEXT as TEXTS
from featcache.datasets.labelled import LABEL_NAMES
from featcache.datasets.listing import SPLIT_NAMES, SPLITS
from featcache.errors import DataError
from featcache.importing.formats.arrays import NUMBERS, OBJECTS, TEXT, Arrays, Column, shape_of
from featcache.importing.formats.npy import LISTS, read_column

NONE = "none"
"""What is typed in place of an array's name to leave a role empty."""
FOLDERS = "folders"
"""What is typed in place of an array of labels where the folder of an image is its class."""

ROLES: Mapping[str, tuple[str, ...]] = {
    role: tuple(dict.fromkeys([role, *others.split()]))
    for role, others in {
        EMBEDDINGS: "image_embeddings images image_features image_feature image_embedding img_emb img_embeddings "
        "features feature feats embeds embedding emb embs vectors vector x",
        LABELS: f"{' '.join(LABEL_NAMES)} y target targets label_id label_ids class_id gt",
        IDS: "id image_path image_paths path paths file_name file_names filename filenames files key keys",
        SPLIT_COLUMN: "split subset",
        CLASS_NAMES: "classnames classes label_names category_names",
        TEXTS: "text_features text_feature text_embeddings text_embedding text_emb class_text",
        SCALE: "",
    }.items()
}
"""Names that arrays of each role have, our own first."""
_KIND = {EMBEDDINGS: {NUMBERS, OBJECTS}, TEXTS: {NUMBERS, OBJECTS}, CLASS_NAMES: {TEXT, OBJECTS}, SCALE: {NUMBERS}}
"""What arrays of a role hold, where not anything: a column `text` of a table holds captions. Objects are refused when
they are read."""


@dataclass(frozen=True)
class Found:
    """What each array is.

    Attributes:
        of_rows: Embeddings, labels, ids and splits by role, then by split; None: rows of all splits together.
        of_classes: Class names, text embeddings and the scale, by role.
        labels_are_folders: Whether the folder of an id is its label.
        told: What was guessed, a line each.
    """

    of_rows: Mapping[str, Mapping[str | None, Column]]
    of_classes: Mapping[str, Column]
    labels_are_folders: bool = False
    told: list[str] = field(default_factory=list)


def find_roles(arrays: Arrays, chosen: Mapping[str, str]) -> Found:
    """Say what each array is.

    Args:
        arrays: What the source holds.
        chosen: What the user says, `Asked.arrays`.

    Raises:
        DataError: No embeddings, two names that would do, or a chosen one that is not there.
    """
    folders = chosen.get(LABELS) == FOLDERS and FOLDERS not in arrays.columns
    said = {
        role: None if name == NONE else _chosen(arrays, role, name)
        for role, name in chosen.items()
        if not (folders and role == LABELS)
    }
    told, used = list[str](), {column.name for column in said.values() if column is not None}
    of_classes = {}
    for role in (CLASS_NAMES, TEXTS, SCALE):
        column = said[role] if role in said else _guess(arrays, role, None, used, told)
        if column is not None:
            of_classes[role] = column
            used.add(column.name)
    of_rows: dict[str, dict[str | None, Column]] = {}
    for role in (EMBEDDINGS, LABELS, IDS, SPLIT_COLUMN):
        for split in (None, *SPLITS):
            key = f"{split}.{role}" if split else role
            if (folders and role == LABELS) or (role == SPLIT_COLUMN and split):
                continue
            column = said[key] if key in said else _guess(arrays, role, split, used, told)
            if column is not None:
                of_rows.setdefault(role, {})[split] = column
                used.add(column.name)
    if EMBEDDINGS not in of_rows:
        of_rows[EMBEDDINGS] = {None: _only_matrix(arrays, used, told)}
    _require_one_way(arrays, of_rows)
    left = [name for name in arrays.columns if name not in used]
    told += [f"not used: {', '.join(left)}"] if left else []
    return Found(of_rows, of_classes, folders, told)


def listed(arrays: Arrays) -> str:
    """What the source holds, in a line."""
    every = [f"{name} {shape_of(column)}" for name, column in arrays.columns.items()]
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "") or "nothing"


def _chosen(arrays: Arrays, role: str, name: str) -> Column:
    """The array or file that the user names."""
    if name in arrays.columns:
        return arrays.columns[name]
    file = Path(name).expanduser()
    if file.suffix.lower() in (".npy", LISTS) and file.is_file():
        return read_column(file)
    raise DataError(
        f"--array {role}={name}: neither an array of {arrays.where} nor an .npy or .txt file; it holds {listed(arrays)}"
    )


def _guess(arrays: Arrays, role: str, split: str | None, used: set[str], told: list[str]) -> Column | None:
    """The one array that is called as that role; what is not called so by us is told."""
    names = ROLES[role]
    kinds = _KIND.get(role, {NUMBERS, TEXT, OBJECTS})
    found = [
        (names.index(base), name)
        for name, column in arrays.columns.items()
        for of_split, base in [_parted(name)]
        if base in names and of_split == split and name not in used and column.kind in kinds
    ]
    if not found:
        return None
    best, *others = [name for _, name in sorted(found)]
    if others and min(found)[0] != 0:
        key = f"{split}.{role}" if split else role
        raise DataError(
            f"{arrays.where} has {' and '.join([best, *others])}, and each may be {key}: type --array {key}={best}, or "
            f"{key}={NONE}"
        )
    if best != role:
        told.append(f"{role}{f' of {split}' if split else ''}: {best}")
    return arrays.columns[best]


def _parted(name: str) -> tuple[str | None, str]:
    """The split that a name has as a word, and the rest of it: `test_features` is `("test", "features")`."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    splits = [word for word in words if word in SPLIT_NAMES]
    if len(splits) != 1 or len(words) < 2:
        return None, "_".join(words)
    return SPLIT_NAMES[splits[0]], "_".join(word for word in words if word != splits[0])


def _only_matrix(arrays: Arrays, used: set[str], told: list[str]) -> Column:
    """The one array of rows of numbers that nothing else is."""
    found = [column for column in _matrices(arrays) if column.name not in used]
    if len(found) != 1:
        what = "no array of embeddings (N, D)" if not found else "several arrays that may be the embeddings"
        raise DataError(f"{arrays.where} has {what}: it holds {listed(arrays)}; type --array embeddings=NAME")
    told.append(f"{EMBEDDINGS}: {found[0].name}, the only array of rows of numbers")
    return found[0]


def _matrices(arrays: Arrays) -> Iterator[Column]:
    return (column for column in arrays.columns.values() if column.is_float and len(column.shape) == 2)


def _require_one_way(arrays: Arrays, of_rows: Mapping[str, Mapping[str | None, Column]]) -> None:
    """Refuse embeddings of all rows together beside others of splits, and those of some splits without train."""
    splits = set(of_rows[EMBEDDINGS])
    if None in splits and len(splits) > 1:
        both = ", ".join(column.name for column in of_rows[EMBEDDINGS].values())
        raise DataError(f"{arrays.where} has {both}: type --array embeddings={NONE} to take those of splits alone")
    if None not in splits and "train" not in splits:
        raise DataError(
            f"{arrays.where} names the embeddings of {' and '.join(map(str, splits))} alone: type --array "
            f"train.embeddings=NAME --array train.labels=NAME; it holds {listed(arrays)}"
        )
    for role in (LABELS, IDS):
        others = set(of_rows.get(role, {}))
        if others and others != splits:
            raise DataError(
                f"{arrays.where} has {role} of {_named(others)} and embeddings of {_named(splits)}: type --array "
                f"{_first(splits - others or others - splits)}{role}=NAME, or ={NONE}"
            )


def _named(splits: set[str | None]) -> str:
    return " and ".join(sorted(split or "all rows" for split in splits))


def _first(splits: set[str | None]) -> str:
    first = min(split or "" for split in splits)
    return f"{first}." if first else ""
