"""What every source of a data set yields: class names, splits, and how they came about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featcache.datasets import stratified
from featcache.datasets.dataset import Split
from featcache.errors import DataError, visible
from featcache.ids import Ids
from featcache.prompts import reads_as

SPLITS = ("train", "val", "test")
"""The splits, in the order in which they are listed."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What people call the splits, and what we call them."""


@dataclass(frozen=True)
class Listing:
    """Splits of ids and labels before a reader and prompts make a data set of them.

    Attributes:
        class_names: (C,) in label order; none where no image has a label.
        splits: Some of train, val, test, in this order.
        split_origin: JSON values for the provenance.
        names_origin: Where the class names came from, for the provenance.
        labels: (C,) what the source itself calls the classes, such as names of folders; None: as the class names.
        left_out: Why images of the source are in no split, and how many; also how the names of other files end, with
            the dot, and how many those are.
        told: What was guessed of the source, a line each.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    split_origin: Mapping[str, Any]
    names_origin: str
    labels: tuple[str, ...] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    told: tuple[str, ...] = ()


def make_split(rows: Iterable[tuple[str, int]]) -> Split:
    """A split of (id, label) pairs; the label -1 is none.

    Raises:
        DataError: A file name is not UTF-8 (the file system gave bytes that cannot be written down as text).
    """
    pairs = list(rows)
    try:
        ids = Ids.of([image for image, _ in pairs])
    except UnicodeEncodeError as error:
        message = f"the file name {error.object!r} is not valid UTF-8: rename the file"
        raise DataError(message) from error
    return Split(ids, np.array([label for _, label in pairs], dtype=np.int64))


def stratified_splits(everything: Split, seed: int) -> tuple[dict[str, Split], dict[str, Any]]:
    """Split a set without splits 50/20/30 a class.

    Returns:
        The splits, and how they were made.
    """
    rows = stratified.split_rows(everything.ids, everything.labels, seed)
    origin = {"from": "seeded stratified", "seed": seed, "fractions": dict(stratified.FRACTIONS)}
    return {name: everything.take(chosen) for name, chosen in rows.items() if len(chosen)}, origin


def complete_splits(
    found: Mapping[str, Split], seed: int, *, carve_val: bool = True
) -> tuple[dict[str, Split], dict[str, Any]]:
    """Make train, val and test of the splits that a source has.

    | source has | result |
    |---|---|
    | train, val, test | as they are |
    | train, test | val: 20 % of every class of train, seeded; without `carve_val` none |
    | train, val | its val becomes test (as for ImageNet in CoOp), val is taken from train as above |
    | train | split 50/20/30 |

    That is so of the images that have a label. Those without one stay in their split, behind the others. Where none has
    one, splits stay as they are, and a mere train is split 70/30 into train and test: something to learn from and
    something to measure on.

    Args:
        found: What the source has, some of it perhaps without labels.
        seed: Of what is made here.
        carve_val: Whether val may be taken out of train. Not for people's own data: their images are few.

    Returns:
        The splits, and how those that were made came about.

    Raises:
        DataError: There is no train.
    """
    without = _where(found, labelled=False)
    if not without:
        return _completed(found, seed, carve_val=carve_val)
    with_label = _where(found, labelled=True)
    if not with_label:
        return _without_labels(found, seed)
    splits, origin = _completed(with_label, seed, carve_val=carve_val)
    for name, rows in without.items():
        home = "test" if name == "val" and "test" in origin else name
        home = home if home in splits else "train"
        splits[home] = splits[home].followed_by(rows)
    return splits, origin


def _where(found: Mapping[str, Split], *, labelled: bool) -> dict[str, Split]:
    """The images of each split that have a label, or those that have none; without splits that have no such image."""
    rows = {name: np.flatnonzero((split.labels >= 0) == labelled) for name, split in found.items()}
    return {name: found[name].take(of_split) for name, of_split in rows.items() if len(of_split)}


def _without_labels(found: Mapping[str, Split], seed: int) -> tuple[dict[str, Split], dict[str, Any]]:
    """Splits of images that have no label at all, and how they came about."""
    _require_train(found)
    if set(found) == {"train"}:
        everything = found["train"]
        as_one_class = np.zeros(len(everything), dtype=np.int64)
        test = stratified.split_rows(everything.ids, as_one_class, seed)["test"]
        kept = np.setdiff1d(np.arange(len(everything)), test)
        share = stratified.FRACTIONS["test"]
        origin = {"from": "seeded", "seed": seed, "fractions": {"train": 1 - share, "test": share}}
        return {name: everything.take(rows) for name, rows in (("train", kept), ("test", test)) if len(rows)}, origin
    if "test" in found:
        return {name: found[name] for name in SPLITS if name in found}, {}
    return {"train": found["train"], "test": found["val"]}, {"test": "the source's val split"}


def _require_train(found: Mapping[str, Split]) -> None:
    if "train" not in found:
        raise DataError(f'only {", ".join(found)} in the data set: call one split "train"')


def _completed(found: Mapping[str, Split], seed: int, *, carve_val: bool) -> tuple[dict[str, Split], dict[str, Any]]:
    """Splits of images that all have labels."""
    _require_train(found)
    if set(found) == {"train"}:
        return stratified_splits(found["train"], seed)
    origin: dict[str, Any] = {}
    if "test" not in found:
        origin["test"] = "the source's val split"
    if {"val", "test"} <= set(found):
        return {name: found[name] for name in SPLITS}, origin
    if "test" in found and not carve_val:
        return {name: found[name] for name in ("train", "test")}, origin
    train = found["train"]
    kept, taken = stratified.carve_rows(train.ids, train.labels, seed)
    origin["val"] = {"from": "seeded stratified", "seed": seed, "fraction_of_train": stratified.VALIDATION_FRACTION}
    test = found["test"] if "test" in found else found["val"]
    return {"train": train.take(kept), "val": train.take(taken), "test": test}, origin


def check_classes(class_names: Sequence[str], where: str) -> None:
    """Refuse fewer than two classes and two classes of one name, as prompts would read them.

    Raises:
        DataError: Naming the class.
    """
    if len(class_names) < 2:
        only = f' ("{class_names[0]}")' if class_names else ""
        raise DataError(f"{where} has {len(class_names)} class{only}, a classifier needs 2 or more: add another class")
    seen: dict[str, str] = {}
    for name in class_names:
        key = reads_as(name)
        if not key:
            raise DataError(f"{where} has a class without a name: name every class")
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f'{where} has the class "{visible(name)}", which is no text in UTF-8: rename it')
        if key in seen:
            raise DataError(f'{where} has the class "{name}" twice ("{seen[key]}" reads the same): rename one of them')
        seen[key] = name


def check_no_empty_class(listing: Listing, where: str) -> None:
    """Refuse a class that has no images, or none to train on; where some images have no label yet, it may get some.

    Raises:
        DataError: Naming the first such class and how many there are.
    """
    if any((split.labels < 0).any() for split in listing.splits.values()):
        return
    total = len(listing.class_names)
    images = sum(np.bincount(split.labels, minlength=total) for split in listing.splits.values())
    train = np.bincount(listing.splits["train"].labels, minlength=total)
    for counts, what in ((images, "has no images"), (train, "has no images in train")):
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            others = f" ({len(empty)} of {total} classes are like that)" if len(empty) > 1 else ""
            raise DataError(
                f'{where}: class "{listing.class_names[empty[0]]}" {what}{others}: add some or remove the class'
            )
