"""Folders of class folders: `root/cat/1.jpg`, optionally `root/train/cat/1.jpg`; also in an archive or behind a URL.

Images that lie in a folder without any class folder, `root/1.jpg` or `root/test/1.jpg`, have no label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from featcache.datasets.class_names import in_order, read_wordnet_names, spoken_names
from featcache.datasets.listing import (
    MOST_PATHS,
    SPLIT_NAMES,
    Listing,
    check_classes,
    check_no_empty_class,
    complete_splits,
    make_split,
    stratified_splits,
)
from featcache.datasets.readers.image_files import ImageFiles, extension_of, is_image
from featcache.datasets.readers.zip_archive import ZipReader
from featcache.datasets.sources.coop_split import list_coop_split
from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.errors import DataError

Files = TypeVar("Files", bound=ImageFiles)

NO_CLASS = "in no class folder"
"""Why an image is left out that lies above all class folders."""
BROKEN = "behind a link that leads nowhere"
"""Why a link is left out that may have been one to a class folder."""
NO_ENDING = "."
"""What stands for a name that ends as no kind of file does."""
WORDNET_LIST = "LOC_synset_mapping.txt"
"""ImageNet's list of WordNet ids and their names, which lies beside its folders."""


def recognises(asked: Asked) -> bool:
    """A folder, here or behind a URL, or a zip archive."""
    return asked.exists and (asked.is_folder or (asked.suffix == ".zip" and not asked.is_url))


def open_class_folders(asked: Asked) -> Opened:
    """List class folders, or the rows of a split file. Raises as `list_class_folders` and `list_coop_split`."""
    if asked.is_folder:
        return Opened(listing=list_files(asked.folder, asked), reader=asked.folder, name=asked.name, where=asked.where)
    archive = ZipReader(asked.path)
    files = only_folder(archive)
    listing = list_files(files, asked)
    above = sum(map(is_image, archive.paths())) - sum(map(is_image, files.paths()))
    counts = Counter(listing.left_out) + Counter({NO_CLASS: above})
    listing = with_outside(replace(listing, left_out=dict(counts)), archive.outside(), "zip")
    return Opened(listing=listing, reader=files, name=asked.name, where=asked.where)


def with_outside(listing: Listing, images: int, archive: str) -> Listing:
    """A listing that also counts as left out images whose names lead out of an archive (a zip or a tar)."""
    counts = Counter(listing.left_out) + Counter({f"with names that lead out of the {archive}": images})
    return replace(listing, left_out=dict(counts))


def list_files(files: ImageFiles, asked: Asked) -> Listing:
    """List files by the split file where there is one, else by class folders."""
    if asked.split_file is not None:
        asked.take_no_class_depth()
        return list_coop_split(asked.split_file, files)
    return list_class_folders(files, asked.seed, depth=asked.class_depth)


def only_folder(archive: Files) -> Files:
    """Step into the one folder that many archives wrap everything in, unless it is called as a split."""
    folders = archive.folders()
    if len(folders) == 1 and folders[0].lower() not in SPLIT_NAMES and archive.under(folders[0]).folders():
        return archive.under(folders[0])
    return archive


def list_class_folders(files: ImageFiles, seed: int, *, depth: int | None = None) -> Listing:
    """List a folder of class folders.

    Where all folders are named as splits are (train, val or valid or validation, test), the class folders are looked
    for in each; a class is one that any split has. The images of a folder, or of one of a split, that holds no folders
    have no label. Hidden files are left out, and files that are no images are counted.

    Args:
        files: Where the class folders lie.
        seed: Of the splits that are made here.
        depth: How many folders deep class folders lie. None: 1; but where every folder there holds folders and no
            image, as the letters of Places365 and SUN397 do, the folders that hold images are the classes.

    Raises:
        DataError: No images, an empty class folder, a class twice, one class alone.
    """
    where = str(files)
    folders = files.folders()
    if not any(map(is_image, files.paths())) and not folders:
        raise DataError(f"{where} is empty: expected one folder of images for each class, such as {where}/cat/1.jpg")
    if not any(map(is_image, files.paths())):
        endings = Counter(extension_of(path) or NO_ENDING for path in files.paths())
        told = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(3)) or "no files"
        raise DataError(
            f"{where} holds no images that can be read, but {told}: convert them to PNG or JPEG (DICOM with its window "
            "applied, GeoTIFF to three bands)"
        )
    split_folders = {SPLIT_NAMES[folder.lower()]: f"{folder}/" for folder in folders if folder.lower() in SPLIT_NAMES}
    others = [folder for folder in folders if folder.lower() not in SPLIT_NAMES]
    if {"train", "test"} <= set(split_folders) and others:
        message = (
            f"{where} has the split folders {', '.join(split_folders.values())} and {', '.join(others[:3])} beside "
        )
        raise DataError(message + "them: move those into train/, or, where all are classes, list the images in a CSV")
    in_splits = bool(folders) and len(split_folders) == len(folders) and "train" in split_folders
    places = {name: _Place(files, prefix) for name, prefix in (split_folders if in_splits else {"train": ""}).items()}
    depth = depth or (None if all(place.holds_folders_only for place in places.values()) else 1)
    paths = in_order({folder for place in places.values() for folder in place.class_folders(depth)})
    if depth is not None and not paths:
        raise DataError(f"{where} has no images {depth} folders deep: type --class-depth 1, or leave it out")
    if paths or not any(place.unsorted for place in places.values()):
        check_classes(paths, where)
    found = {name: make_split(place.rows(paths, depth) or place.unsorted) for name, place in places.items()}
    outside = [path for place in places.values() for path in place.outside(paths, depth)]
    splits, made = complete_splits({n: s for n, s in found.items() if len(s)}, seed, carve_val=False)
    names = spoken_names(paths, _wordnet_names(files))
    origin = {"from": "folders", **made} if in_splits else made
    left_out = {NO_CLASS: outside} if outside else {}
    for path in (path for place in places.values() for path in place.others):
        left_out.setdefault(extension_of(path) or NO_ENDING, []).append(path)
    broken = [path for place in places.values() for path in place.broken]
    left_out |= {BROKEN: broken} if broken else {}
    listing = Listing(
        names,
        splits,
        origin,
        "folder names",
        tuple(paths),
        left_out={why: len(those) for why, those in left_out.items()},
        left_out_paths={why: sorted(those)[:MOST_PATHS] for why, those in left_out.items()},
    )
    check_no_empty_class(listing, where)
    return listing


class _Place:
    """Images below a prefix, which is that of a split, or empty.

    Attributes:
        images: How many there are.
        others: Paths of other files that lie in folders.
        broken: Paths that are called as folders may be and lead nowhere.
    """

    def __init__(self, files: ImageFiles, prefix: str) -> None:
        self._prefix = prefix
        self._folders = (files.under(prefix.rstrip("/")) if prefix else files).folders()
        below = [path[len(prefix) :] for path in files.paths(prefix.rstrip("/"))]
        self._parents = [(path, path.rpartition("/")[0]) for path in below if is_image(path)]
        others = [path for path in below if not is_image(path)]
        unnamed = [path for path in others if not extension_of(path)]
        sizes = files.sizes(prefix + path for path in unnamed)
        nowhere = {path for path, size in zip(unnamed, sizes, strict=True) if size < 0}
        self.broken = [prefix + path for path in others if path in nowhere]
        self.others = [prefix + path for path in others if "/" in path and path not in nowhere]
        self.images = len(self._parents)

    @property
    def holds_folders_only(self) -> bool:
        """Whether no image lies right in a folder at the top, and some lie deeper."""
        return {"/" in parent for _, parent in self._parents if parent} <= {True} and self.images > 0

    @property
    def unsorted(self) -> list[tuple[str, int]]:
        """(id, -1) of every image, sorted by path, where there are no folders; else none."""
        return [] if self._folders else [(self._prefix + path, -1) for path, _ in sorted(self._parents)]

    def class_folders(self, depth: int | None) -> set[str]:
        """Paths of the class folders; at the top, also of those without images."""
        return (
            set(self._folders) if depth == 1 else {_class_folder(parent, depth) for _, parent in self._parents} - {""}
        )

    def outside(self, class_folders: Sequence[str], depth: int | None) -> list[str]:
        """Paths of the images that are in no class folder where there are such."""
        inside = set(class_folders)
        stray = [self._prefix + path for path, parent in self._parents if _class_folder(parent, depth) not in inside]
        return [] if len(stray) == len(self._parents) and self.unsorted else stray

    def rows(self, class_folders: Sequence[str], depth: int | None) -> list[tuple[str, int]]:
        """(id, label) of every image, class by class, each sorted by path."""
        labels = {folder: label for label, folder in enumerate(class_folders)}
        rows = [
            (labels[folder], self._prefix + path)
            for path, parent in self._parents
            if (folder := _class_folder(parent, depth)) in labels
        ]
        return [(path, label) for label, path in sorted(rows)]


def _class_folder(parent: str, depth: int | None) -> str:
    """The class folder that an image in `parent` belongs to; empty where it lies above all."""
    parts = parent.split("/")
    return parent if depth is None else "/".join(parts[:depth]) if len(parts) >= depth else ""


def _wordnet_names(files: ImageFiles) -> dict[str, str]:
    return read_wordnet_names(files.read(WORDNET_LIST).decode("utf-8", "replace")) if files.has(WORDNET_LIST) else {}


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
    everything = make_split(_Place(files, "").rows(folders, 1))
    class_names = tuple(names.get(folder, folder) for folder in folders)
    missing = [folder for folder in folders if folder not in there]
    if missing:
        raise DataError(
            f"{files} lacks {len(missing)} of {len(folders)} class folders, first {missing[0]}: unpack the images again"
        )
    splits, origin = stratified_splits(everything, seed)
    listing = Listing(class_names, splits, origin, names_origin, tuple(folders))
    check_no_empty_class(listing, str(files))
    return listing


CLASS_FOLDERS = Source(recognises=recognises, open=open_class_folders)
