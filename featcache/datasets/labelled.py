"""Rows that bring labels in words, as tables and tars do, made a listing; some may have none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from featcache.datasets.class_names import in_order, spoken_names
from featcache.datasets.listing import (
    SPLIT_NAMES,
    SPLITS,
    Listing,
    check_classes,
    check_no_empty_class,
    complete_splits,
    make_split,
)
from featcache.errors import DataError

LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "cls")
"""What columns and keys are called that hold an image's class, the first that is there."""


class Row(NamedTuple):
    """An image.

    Attributes:
        image: Its id.
        label: What its class is called; empty: it has no label.
        split: train, val or test; None: its file names none.
    """

    image: str
    label: str
    split: str | None


def splits_in(paths: Sequence[str]) -> list[str | None]:
    """The split that each path names as a word of its file or of a folder above: `imagenet-val-003.tar` is val.

    The file's own name goes before the folders'. None where no word is a split's; for all where all name the same one.

    Raises:
        DataError: Only one split is named, and not by all: what the others are is not known.
    """
    splits = [_split_in(path) for path in paths]
    named = set(splits) - {None}
    if len(named) > 1:
        return splits
    if named and None in splits:
        only, other = named.pop(), paths[splits.index(None)] or "."
        raise DataError(
            f"only {only} is named, and {other} names no split: name train or test in each path, or in none"
        )
    return [None] * len(splits)


def _split_in(path: str) -> str | None:
    words = (word for part in reversed(path.lower().split("/")) for word in re.split(r"[^a-z]+", part))
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def list_labelled(
    rows: Iterable[Row],
    *,
    where: str,
    seed: int,
    splits_from: str,
    names_from: str,
    classes: Sequence[str] | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Listing:
    """A listing of rows, their order kept within each split, but that those without a label come last.

    Where no row names a split, the set is split 50/20/30; where some do, others are left out.

    Args:
        rows: Images.
        where: What messages call the source.
        seed: Of the splits that are made here.
        splits_from: Where the splits came from, for the provenance.
        names_from: Where the class names came from, for the provenance.
        classes: (C,) labels in class order; None: those that there are, sorted (`in_order`).
        left_out: What the source left out itself.

    Raises:
        DataError: One class alone, a class with nothing to train on, or splits without train.
    """
    every = list(rows)
    in_splits = any(row.split for row in every)
    kept = [row for row in every if row.split or not in_splits]
    labels = list(classes) if classes is not None else in_order({row.label for row in kept if row.label})
    if labels:
        check_classes(labels, where)
    numbers = {label: number for number, label in enumerate(labels)} | {"": -1}
    found = {
        split: make_split((row.image, numbers[row.label]) for row in kept if (row.split or "train") == split)
        for split in SPLITS
        if any((row.split or "train") == split for row in kept)
    }
    splits, made = complete_splits(found, seed, carve_val=False)
    origin: dict[str, Any] = {"from": splits_from, **made} if in_splits else made
    counts = Counter(left_out or {})
    counts["in files that name no split"] += len(every) - len(kept)
    listing = Listing(spoken_names(labels), splits, origin, names_from, tuple(labels), dict(+counts))
    check_no_empty_class(listing, where)
    return listing
