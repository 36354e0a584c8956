"""Lists as of CUB-200-2011 (Wah et al., 2011): `images.txt`, `image_class_labels.txt`, `classes.txt` beside `images/`.

Each line is a number and what it stands for. `train_test_split.txt` may say which images are for training (1).
"""

from __future__ import annotations

from featcache.datasets.labelled import Row, list_labelled
from featcache.datasets.sources.source import Asked, Opened, Source
from featcache.errors import DataError

IMAGES, LABELS, CLASSES, SPLIT = "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt"
FOLDER = "images"


def recognises(asked: Asked) -> bool:
    """A folder with the first two lists and the images."""
    return (
        asked.exists
        and asked.is_folder
        and not asked.is_url
        and all(
            asked.folder.location(name) and (asked.path / name).exists() for name in (IMAGES, LABELS, CLASSES, FOLDER)
        )
    )


def open_cub(asked: Asked) -> Opened:
    """List the images in the order of the list.

    Raises:
        DataError: The lists do not fit one another, images are not there, or as `list_labelled`.
    """
    asked.take_no_split_file(f"its split is {SPLIT}")
    asked.take_no_class_depth()
    images, labels, classes = (_pairs(asked, name) for name in (IMAGES, LABELS, CLASSES))
    split = _pairs(asked, SPLIT) if (asked.path / SPLIT).exists() else {}
    folder = asked.folder.under(FOLDER)
    if missing := folder.missing(images.values()):
        raise DataError(f"{folder} lacks {len(missing)} of {len(images)} images, first {missing[0]}: unpack them again")
    try:
        rows = [
            Row(path, classes[labels[number]], {"1": "train", "0": "test"}[split[number]] if split else None)
            for number, path in images.items()
        ]
    except KeyError as error:
        raise DataError(
            f"{asked.where}: its lists do not fit one another, first at {error}: download them again"
        ) from error
    listing = list_labelled(
        rows,
        where=asked.where,
        seed=asked.seed,
        splits_from=SPLIT,
        names_from=CLASSES,
        classes=list(classes.values()),
    )
    return Opened(listing=listing, reader=folder, name=asked.name, where=asked.where)


def _pairs(asked: Asked, name: str) -> dict[str, str]:
    """Number and what it stands for, of each line."""
    lines = asked.folder.read(name).decode("utf-8", "replace").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise DataError(f"{asked.where}/{name}: expected a number and what it stands for in each line")
    return {number: word.strip() for number, word in pairs}


CUB_LISTS = Source(recognises=recognises, open=open_cub)
