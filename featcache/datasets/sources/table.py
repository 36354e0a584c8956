"""What tables of `path,label[,split]` have in common, whatever kind of file they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from featcache.datasets.class_names import spoken_names
from featcache.datasets.dataset import Split
from featcache.datasets.listing import SPLIT_NAMES, Listing, check_classes, check_no_empty_class, complete_splits
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.readers.url_folder import UrlFolder
from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.errors import DataError
from featcache.ids import Ids, repeated_id

COLUMNS = ("path", "label")
SPLIT = "split"


def table_source(
    suffix: str, list_table: Callable[[FolderReader | UrlFolder, str, int], Listing], *, called: str
) -> Source:
    """The source of files that end so, here or behind a URL, beside their images.

    Args:
        suffix: How they end, in small letters.
        list_table: Lists one by its folder, its name there and the seed of splits.
        called: What messages call it.
    """

    def open_table(asked: Asked) -> Opened:
        asked.take_no_split_file(f"put a column split into the {called}")
        asked.take_no_class_depth()
        listing = list_table(asked.folder, asked.file_name, asked.seed)
        return Opened(listing=listing, reader=asked.folder, name=asked.name, where=asked.where)

    return Source(recognises=lambda asked: asked.suffix == suffix and asked.exists, open=open_table)


def table_listing(
    folder: FolderReader | UrlFolder, file: str, names: Sequence[str], found: Mapping[str, Split], seed: int
) -> Listing:
    """The listing of a table.

    Args:
        folder: Where the table is; paths of images are relative to it.
        file: Its name there.
        names: (C,) the labels, in order; none where no row has one.
        found: The splits that the table names, some of train, val, test in this order; labels index `names`.
        seed: Of the split, where the table has none.

    Raises:
        DataError: A file does not exist or is listed twice, there is no train, fewer than two classes, or a class has
            nothing to train on.
    """
    path = f"{folder}/{file}"
    if names:
        check_classes(names, path)
    check_files(folder, path, found)
    splits, made = complete_splits(found, seed, carve_val=False)
    origin = {"from": f"column split of {file}", **made}
    listing = Listing(spoken_names(names), splits, origin, f"labels in {file}", tuple(names))
    check_no_empty_class(listing, path)
    return listing


def row_problem(image: str, split: str | None) -> str | None:
    """What is wrong with a row, or None; a split of None: the table has no such column."""
    if not image:
        return "path is empty: give each image a path"
    if split is not None and split.lower() not in SPLIT_NAMES:
        return f'split is "{split}": write train, val or test, or leave the column out'
    return None


def check_files(folder: FolderReader | UrlFolder, path: str, found: Mapping[str, Split]) -> None:
    """Refuse a table that names an image twice, or one that is not there.

    Raises:
        DataError: Naming the first.
    """
    if repeated := repeated_id([Ids.of(split.ids) for split in found.values()]):
        raise DataError(f"{path} lists {repeated} twice: keep one of the rows")
    missing = [image for split in found.values() for image in folder.missing(split.ids)]
    if missing:
        total = sum(map(len, found.values()))
        raise DataError(
            f"{path}: {len(missing)} of {total} files do not exist, first {missing[0]}: paths are relative to {folder}"
        )
