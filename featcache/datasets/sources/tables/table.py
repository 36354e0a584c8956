"""What tables that list images have in common, whatever kind of file they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from featcache.datasets.class_names import in_order, spoken_names
from featcache.datasets.dataset import Split
from featcache.datasets.listing import (
    SPLIT_NAMES,
    SPLITS,
    Listing,
    check_classes,
    check_no_empty_class,
    complete_splits,
    make_split,
)
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.datasets.sources.tables.columns import TableOptions
from featcache.datasets.sources.tables.image_paths import placed
from featcache.errors import DataError
from featcache.ids import Ids, repeated_id

TWICE = "listed twice in the same way"
"""Why a row is left out that says what another one said."""


class Listed(NamedTuple):
    """What a table says.

    Attributes:
        names: (C,) the labels, in order; none where no row has one.
        splits: Some of train, val, test, in this order; ids are as the table has them, labels index `names`, or are -1.
        told: What was guessed, a line each.
    """

    names: Sequence[str]
    splits: Mapping[str, Split]
    told: Sequence[str]


def table_source(
    suffixes: Sequence[str],
    read: Callable[[FolderReader | UrlFolder, str, TableOptions], Listed],
    *,
    called: str,
) -> Source:
    """The source of files that end so, here or behind a URL, beside their images.

    Args:
        suffixes: How they end, in small letters.
        read: Reads one by its folder, its name there and what is told of it.
        called: What messages call it.
    """

    def open_table(asked: Asked) -> Opened:
        asked.take_no_split_file(f"put a column split into the {called}")
        asked.take_no_class_depth()
        file = asked.file_name
        found = read(asked.folder, file, asked.table)
        return open_listed(asked, found, splits_from=f"column split of {file}", names_from=f"labels in {file}")

    return Source(
        recognises=lambda asked: asked.suffix in suffixes and asked.exists, open=open_table, takes_table_options=True
    )


def splits_of(rows: Sequence[tuple[str, str, str]], told: Sequence[str]) -> Listed:
    """(path, label, split) of each row, sorted into splits; an empty label is none."""
    names = in_order({label for _, label, _ in rows if label})
    labels = {name: label for label, name in enumerate(names)} | {"": -1}
    by_split: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    for image, label, split in rows:
        by_split[split].append((image, labels[label]))
    return Listed(names, {split: make_split(its) for split, its in by_split.items() if its}, told)


def open_listed(asked: Asked, found: Listed, *, splits_from: str, names_from: str) -> Opened:
    """The data set that a table lists.

    Args:
        asked: For the folder, the seed, and where images are.
        found: What the table says.
        splits_from: Where splits come from, in words; `names_from` where class names do.
        names_from: Where class names come from.

    Raises:
        DataError: A file does not exist or is listed twice in two ways, there is no train, one class alone, or a class
            has nothing to train on.
    """
    where = f"{asked.folder}/{asked.file_name}"
    folder, images, told = placed(asked.folder, where, found.splits, asked.table)
    if found.names:
        check_classes(found.names, where)
    once, twice = _once(images, found.names, where)
    splits, made = complete_splits(once, asked.seed, carve_val=False)
    listing = Listing(
        spoken_names(found.names),
        splits,
        {"from": splits_from, **made},
        names_from,
        tuple(found.names),
        dict(+Counter({TWICE: twice})),
        tuple([*found.told, *told]),
    )
    check_no_empty_class(listing, where)
    elsewhere = str(folder) if asked.table.image_dir else None
    return Opened(listing=listing, reader=folder, name=asked.name, where=asked.where, images=elsewhere)


def row_problem(image: str, split: str | None) -> str | None:
    """What is wrong with a row, or None; a split of None: the table has no such column."""
    if not image:
        return "path is empty: give each image a path"
    if split is not None and split.lower() not in SPLIT_NAMES:
        return f'split is "{split}": write train, val or test, or leave the column out (--split-column none)'
    return None


def _once(found: Mapping[str, Split], names: Sequence[str], where: str) -> tuple[dict[str, Split], int]:
    """Every image once: rows that say the same again are left out; and how many those are.

    Raises:
        DataError: Two rows say different things of an image.
    """
    if not repeated_id([Ids.of(split.ids) for split in found.values()]):
        return dict(found), 0
    said: dict[str, tuple[str, int]] = {}
    differ: dict[str, tuple[tuple[str, int], tuple[str, int]]] = {}
    for name, split in found.items():
        for image, label in zip(split.ids, split.labels.tolist(), strict=True):
            if (first := said.setdefault(image, (name, label))) != (name, label):
                differ.setdefault(image, (first, (name, label)))
    if differ:
        image, (one, other) = next(iter(differ.items()))
        more = f" ({len(differ)} images are listed so)" if len(differ) > 1 else ""
        both = " and as ".join(_words(each, names) for each in (one, other))
        raise DataError(f"{where} lists {image} twice, as {both}{more}: keep one of the rows")
    kept = {name: make_split((image, label) for image, (its, label) in said.items() if its == name) for name in found}
    return kept, sum(map(len, found.values())) - len(said)


def _words(said: tuple[str, int], names: Iterable[str]) -> str:
    split, label = said
    return f"{list(names)[label] if label >= 0 else 'without a label'} in {split}"
