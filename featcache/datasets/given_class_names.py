"""Class names given by the user, in place of the folders' or the card's: `--class-names FILE`, `--class-names cat,dog`.

Where no image has a label there are none to replace: these are the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from featcache.datasets.listing import check_classes
from featcache.errors import DataError
from featcache.records import parse_json


def class_names_given(given: str | Path, current: Sequence[str], labels: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """New class names, and where they are from: a file as of `read_class_names`, or the names with commas between.

    Raises:
        DataError: As `read_class_names`.
    """
    path = Path(given).expanduser()
    if path.exists() or "," not in str(given):
        return read_class_names(path, current, labels), f"given, {path.name}"
    return _listed([name.strip() for name in str(given).split(",")], f"--class-names {given}", current, labels), "given"


def read_class_names(path: Path, current: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Read new class names from a file.

    Three forms: a JSON list in class order, a JSON object `{label or present name: new name}` (others stay),
    or a text file with one name a line in class order.

    Args:
        path: The file.
        current: (C,) present names, in class order; none where there are no classes yet.
        labels: (C,) what the source calls the classes; an object may name them so too.

    Returns:
        (C,) new names.

    Raises:
        DataError: The file cannot be read, gives another number of names or names no present class, or two classes end
            up with one name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = parse_json(text) if text.lstrip()[:1] in ("[", "{") else text.splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "neither JSON nor UTF-8 text"
        raise DataError(f"cannot read class names from {path}: {reason}; give one name a line, or JSON") from error
    if isinstance(value, dict):
        names = _renamed(value, path, current, labels)
        check_classes(names, str(path))
        return tuple(names)
    return _listed([str(name).strip() for name in value if str(name).strip()], str(path), current, labels)


def _listed(names: list[str], where: str, current: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    if current and len(names) != len(current):
        raise DataError(
            f"{where} has {len(names)} class names, the data set has {len(current)} classes: give one for each, "
            f"in this order: {', '.join(labels[:3])}{', …' if len(labels) > 3 else ''}"
        )
    check_classes(names, where)
    return tuple(names)


def _renamed(value: dict[str, object], path: Path, current: Sequence[str], labels: Sequence[str]) -> list[str]:
    unknown = [name for name in value if name not in current and name not in labels]
    if unknown:
        raise DataError(
            f'{path} names the class "{unknown[0]}" ({len(unknown)} of its {len(value)} names are unknown), '
            f"the data set's {len(labels)} classes are {', '.join(labels[:5])}{', …' if len(labels) > 5 else ''}"
        )
    pairs = zip(labels, current, strict=True)
    return [str(value.get(label, value.get(name, name))).strip() for label, name in pairs]
