"""The splits that sets bring along, read from their own lists, for when CoOp's split file is not there.

| native | train | val | test |
|---|---|---|---|
| folders | EuroSAT, Caltech-101 have none: 50/20/30 of each class, seeded | | |
| dtd | labels/train1.txt | labels/val1.txt | labels/test1.txt |
| flowers | setid.mat trnid | valid | tstid |
| aircraft | images_variant_train.txt | images_variant_val.txt | images_variant_test.txt |
| food101 | meta/train.json less val | 20 % of each class, seeded | meta/test.json |
| pets | annotations/trainval.txt less val | 20 % | annotations/test.txt |
| cars | devkit/cars_train_annos.mat less val | 20 % | cars_test_annos_withlabels.mat |
| sun397 | Training_01.txt less val (without the lists: 50/20/30) | 20 % | Testing_01.txt |
| ucf101 | ucfTrainTestlist/trainlist01.txt less val | 20 % | ucfTrainTestlist/testlist01.txt |
| imagenet | train | none, as in CoOp | val |

These are the partitions that torchvision's classes use (DTD: number 1; UCF101: fold 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from featcache.datasets.cards import Card
from featcache.datasets.dataset import Split
from featcache.datasets.listing import (
    SPLITS,
    Listing,
    check_no_empty_class,
    complete_splits,
    make_split,
    stratified_splits,
)
from featcache.datasets.locate import Located
from featcache.datasets.readers.image_files import is_image
from featcache.datasets.shipped import flower_class_names, imagenet_class_names
from featcache.datasets.sources.class_folders import list_known_classes
from featcache.errors import DataError, in_a_line
from featcache.records import parse_json

Rows = Iterable[tuple[str, int]]


def list_native(card: Card, located: Located, seed: int) -> Listing:
    """List a set by its own split, or 50/20/30 where it has none.

    Raises:
        DataError: The set's lists are not there, or name images that are not.
    """
    try:
        return READERS[card.native](card, located, seed)
    except DataError:
        raise
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        places = ", ".join(map(str, located.places))
        raise DataError(
            f"{card.title}: the set's own lists in {places} cannot be read ({type(error).__name__}: {error}): "
            "unpack them again"
        ) from error


def _folders(card: Card, located: Located, seed: int) -> Listing:
    assert card.folders is not None
    return list_known_classes(located.files, card.folders, card.names, seed, "card")


def _dtd(card: Card, located: Located, seed: int) -> Listing:
    if located.find("labels/train1.txt") is None:
        return _folders(card, located, seed)
    assert card.folders is not None
    labels = {folder: label for label, folder in enumerate(card.folders)}
    lists = {name: _lines(card, located, f"labels/{name}1.txt") for name in SPLITS}
    found: dict[str, Rows] = {n: [(path, labels[path.split("/")[0]]) for path in paths] for n, paths in lists.items()}
    return _listing(card, located, card.folders, found, "labels/{train,val,test}1.txt", seed)


def _flowers(card: Card, located: Located, seed: int) -> Listing:
    labels = _mat(card, located, "imagelabels.mat")["labels"] - 1
    sets = _mat(card, located, "setid.mat")
    found: dict[str, Rows] = {
        name: [(f"image_{i:05d}.jpg", int(labels[i - 1])) for i in np.atleast_1d(sets[key]).tolist()]
        for name, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))
    }
    names = [card.names.get(name, name) for name in flower_class_names()]
    return _listing(card, located, names, found, "setid.mat", seed)


def _aircraft(card: Card, located: Located, seed: int) -> Listing:
    names = _lines(card, located, "variants.txt")
    labels = {name: label for label, name in enumerate(names)}
    found: dict[str, Rows] = {}
    for split in SPLITS:
        pairs = (line.split(" ", 1) for line in _lines(card, located, f"images_variant_{split}.txt"))
        found[split] = [(f"{image}.jpg", labels[name]) for image, name in pairs]
    return _listing(card, located, names, found, "images_variant_{train,val,test}.txt", seed)


def _food101(card: Card, located: Located, seed: int) -> Listing:
    if located.find("meta/train.json") is None:
        return _folders(card, located, seed)
    assert card.folders is not None
    found: dict[str, Rows] = {}
    for split in ("train", "test"):
        by_class = parse_json(_text(card, located, f"meta/{split}.json"))
        found[split] = [(f"{i}.jpg", y) for y, folder in enumerate(card.folders) for i in by_class[folder]]
    return _listing(card, located, card.folders, found, "meta/{train,test}.json", seed)


def _pets(card: Card, located: Located, seed: int) -> Listing:
    assert card.class_names is not None
    found: dict[str, Rows] = {}
    for split, name in (("train", "trainval"), ("test", "test")):
        columns = (line.split() for line in _lines(card, located, f"annotations/{name}.txt"))
        found[split] = [(f"{row[0]}.jpg", int(row[1]) - 1) for row in columns]
    return _listing(card, located, card.class_names, found, "annotations/{trainval,test}.txt", seed)


def _cars(card: Card, located: Located, seed: int) -> Listing:
    names = _mat(card, located, "devkit/cars_meta.mat")["class_names"].tolist()
    found: dict[str, Rows] = {}
    for split, folder, file in (
        ("train", "cars_train", "devkit/cars_train_annos.mat"),
        ("test", "cars_test", "cars_test_annos_withlabels.mat"),
    ):
        rows = np.atleast_1d(_mat(card, located, file)["annotations"])
        found[split] = [(f"{folder}/{row['fname']}", int(row["class"]) - 1) for row in rows]
    year_first = [" ".join([name.split()[-1], *name.split()[:-1]]) for name in names]
    return _listing(card, located, year_first, found, "devkit", seed)


def _sun397(card: Card, located: Located, seed: int) -> Listing:
    folders = [line.lstrip("/") for line in _lines(card, located, "ClassName.txt")]
    labels = {folder: label for label, folder in enumerate(folders)}
    # CoOp puts "indoor" and "outdoor" first: "/a/apartment_building/outdoor" reads "outdoor apartment_building".
    names = [" ".join(reversed(folder.split("/")[1:])) for folder in folders]
    if located.find("Training_01.txt") is None:
        images = (path for path in located.files.paths() if is_image(path))
        rows = [(path, labels[path.rpartition("/")[0]]) for path in images if path.rpartition("/")[0] in labels]
        splits, origin = stratified_splits(make_split(rows), seed)
        return Listing(tuple(names), splits, origin, card.class_names_from)
    found: dict[str, Rows] = {}
    for split, file in (("train", "Training_01.txt"), ("test", "Testing_01.txt")):
        paths = [line.lstrip("/") for line in _lines(card, located, file)]
        found[split] = [(path, labels[path.rpartition("/")[0]]) for path in paths]
    return _listing(card, located, names, found, "{Training,Testing}_01.txt", seed)


def _ucf101(card: Card, located: Located, seed: int) -> Listing:
    # A split at random would put frames of one person's performance into both train and test.
    assert card.folders is not None
    labels = {folder: label for label, folder in enumerate(card.folders)}
    found: dict[str, Rows] = {}
    for split in ("train", "test"):
        rows = []
        for line in _lines(card, located, f"ucfTrainTestlist/{split}list01.txt"):
            action, _, video = line.split(" ")[0].partition("/")
            folder = "_".join(re.findall("[A-Z][^A-Z]*", action))
            rows.append((f"{folder}/{video.removesuffix('.avi')}.jpg", labels[folder]))
        found[split] = rows
    return _listing(card, located, card.folders, found, "ucfTrainTestlist/{train,test}list01.txt", seed)


def _imagenet(card: Card, located: Located, seed: int) -> Listing:
    names = imagenet_class_names()
    splits: dict[str, Split] = {}
    for split, folder in (("train", "train"), ("test", "val")):
        ids = [path for path in located.files.paths(folder) if path.count("/") >= 2 and is_image(path)]
        synsets = sorted({path.split("/")[1] for path in ids})
        if len(synsets) != len(names):
            raise DataError(
                f"{located.files}/{folder} has {len(synsets)} class folders with images, expected 1,000 "
                f"({folder}/n01440764/…): unpack the images of each class into its folder"
            )
        labels = {synset: label for label, synset in enumerate(synsets)}
        splits[split] = make_split((path, labels[path.split("/")[1]]) for path in ids)
    return Listing(names, splits, {"from": "folders", "test": "the set's val split"}, card.class_names_from)


READERS: dict[str, Callable[[Card, Located, int], Listing]] = {
    "folders": _folders,
    "dtd": _dtd,
    "flowers": _flowers,
    "aircraft": _aircraft,
    "food101": _food101,
    "pets": _pets,
    "cars": _cars,
    "sun397": _sun397,
    "ucf101": _ucf101,
    "imagenet": _imagenet,
}


def _listing(
    card: Card, located: Located, names: Iterable[str], found: Mapping[str, Rows], lists: str, seed: int
) -> Listing:
    """Check that the images of the set's own lists are there, and make a validation split where they have none."""
    rows = {name: make_split(pairs) for name, pairs in found.items()}
    there = set(located.files.paths())
    missing = [image for split in rows.values() for image in split.ids if image not in there]
    if missing:
        raise DataError(
            f"{located.files} lacks {len(missing)} of the images in the set's own lists ({lists}), first {missing[0]}: "
            "unpack the images again"
        )
    splits, made = complete_splits(rows, seed)
    listing = Listing(tuple(names), splits, {"from": f"the set's own lists, {lists}", **made}, card.class_names_from)
    check_no_empty_class(listing, str(located.files))
    return listing


def _find(card: Card, located: Located, name: str) -> Path:
    path = located.find(name)
    if path is None:
        coop = f"{card.coop_split} or " if card.coop_split else ""
        raise DataError(
            f"{card.title}: neither a split file nor the set's own {name} is beside the images "
            f"(looked in {', '.join(map(str, located.places))}): put {coop}{name} there"
        )
    return path


def _text(card: Card, located: Located, name: str) -> str:
    return _find(card, located, name).read_text(encoding="utf-8")


def _lines(card: Card, located: Located, name: str) -> list[str]:
    return [line.strip() for line in _text(card, located, name).splitlines() if line.strip()]


def _mat(card: Card, located: Located, name: str) -> dict[str, Any]:
    from scipy.io import loadmat  # slow to import

    path = _find(card, located, name)
    try:
        content: dict[str, Any] = loadmat(path, squeeze_me=True)
    except Exception as error:  # damage has many kinds, and SciPy an error of its own for most
        raise DataError(f"{path} cannot be read ({in_a_line(error)}): unpack it again") from error
    return content
