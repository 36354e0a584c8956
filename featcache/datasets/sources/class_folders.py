"""Folders of class folders: `root/cat/1.jpg`, optionally `root/train/cat/1.jpg`; also within a zip archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featcache.datasets.listing import (
    SPLIT_NAMES,
    Listing,
    check_classes,
    check_no_empty_class,
    complete_splits,
    make_split,
    stratified_splits,
)
from featcache.datasets.readers import ImageFiles, is_image
from featcache.errors import DataError


def list_class_folders(files: ImageFiles, seed: int) -> Listing:
    """List a folder of class folders; the classes are the folders' names, sorted.

    Where all folders are named as splits are (train, val or valid or validation, test), the class folders are looked
    for in each; a class is one that any split has. Hidden files and files that are not images are left out.

    Raises:
        DataError: No images, no class folders, an empty class folder, a class twice, fewer than two classes.
    """
    folders = files.folders()
    where = str(files)
    if not folders:
        raise DataError(_no_folders(files))
    split_folders = {SPLIT_NAMES[f.lower()]: f for f in folders if f.lower() in SPLIT_NAMES}
    if len(split_folders) < len(folders) or "train" not in split_folders:
        check_classes(folders, where)
        everything = make_split(_rows(files, "", folders))
        splits, origin = stratified_splits(everything, seed)
        listing = Listing(tuple(folders), splits, origin, "folder names")
    else:
        found = {name: set(files.under(folder).folders()) for name, folder in split_folders.items()}
        names = sorted(set().union(*found.values()))
        check_classes(names, where)
        rows = {
            name: make_split(_rows(files, f"{folder}/", names, present=found[name]))
            for name, folder in split_folders.items()
        }
        splits, made = complete_splits(rows, seed, carve_val=False)
        listing = Listing(tuple(names), splits, {"from": "folders", **made}, "folder names")
    check_no_empty_class(listing, where)
    return listing


def list_known_classes(
    files: ImageFiles, folders: Sequence[str], names: Mapping[str, str], seed: int, names_origin: str
) -> Listing:
    """List class folders that are known beforehand, in label order; other folders are left alone.

    Args:
        files: Where the class folders lie.
        folders: (C,) folder names, in label order.
        names: Class names of the folders that are called otherwise.
        seed: Of the stratified split.
        names_origin: For the provenance.

    Raises:
        DataError: A class has no images.
    """
    there = set(files.folders())
    everything = make_split(_rows(files, "", folders, present=there))
    class_names = tuple(names.get(folder, folder) for folder in folders)
    missing = [folder for folder in folders if folder not in there]
    if missing:
        raise DataError(
            f"{files} lacks {len(missing)} of {len(folders)} class folders, first {missing[0]}: unpack the images again"
        )
    splits, origin = stratified_splits(everything, seed)
    listing = Listing(class_names, splits, origin, names_origin)
    check_no_empty_class(listing, str(files))
    return listing


def _rows(
    files: ImageFiles, prefix: str, folders: Sequence[str], present: set[str] | None = None
) -> list[tuple[str, int]]:
    """(id, label) of every image in `prefix + folder`, folder by folder, each sorted by path."""
    labels = {folder: label for label, folder in enumerate(folders) if present is None or folder in present}
    by_folder: dict[str, list[str]] = {folder: [] for folder in labels}
    for path in files.paths(prefix.rstrip("/")):
        folder, _, rest = path[len(prefix) :].partition("/")
        if rest and folder in by_folder and is_image(path):
            by_folder[folder].append(path)
    return [(path, labels[folder]) for folder, paths in by_folder.items() for path in paths]


def _no_folders(files: ImageFiles) -> str:
    images = sum(map(is_image, files.paths()))
    if images:
        return (
            f"{files} has {images} images but no class folders: put the images of each class into a folder named after "
            "the class, or write a CSV with the columns path,label"
        )
    return f"{files} is empty: expected one folder of images for each class, such as {files}/cat/1.jpg"
