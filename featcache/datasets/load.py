"""From what people type after `--dataset` to a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featcache.datasets.cards import Card, find_card, no_such_set
from featcache.datasets.dataset import Dataset, Reader
from featcache.datasets.given_class_names import read_class_names
from featcache.datasets.listing import SPLIT_NAMES, Listing
from featcache.datasets.locate import Located, locate, looked_in
from featcache.datasets.readers import FolderReader, ImageFiles, ZipReader
from featcache.datasets.sources.class_folders import list_class_folders
from featcache.datasets.sources.coop_split import list_coop_split
from featcache.datasets.sources.csv_file import list_csv
from featcache.datasets.sources.digits import DigitsReader, list_digits
from featcache.datasets.sources.native_splits import list_native
from featcache.datasets.sources.parquet_listing import list_parquet
from featcache.datasets.sources.torchvision_sets import download as download_with_torchvision
from featcache.datasets.sources.torchvision_sets import list_cifar
from featcache.errors import DataError
from featcache.places.home import datasets_folder
from featcache.prompts import PromptSpec

OWN_PROMPTS = {"default": PromptSpec(templates=("a photo of {a} {}.",))}
"""The prompt set of a folder or table."""

TABLES = {".csv": list_csv, ".parquet": list_parquet}
"""What lists a table of path, label and split, by how its name ends."""


def load_dataset(
    dataset: str,
    *,
    data_root: Path | str | None = None,
    split_file: Path | str | None = None,
    class_names: Path | str | None = None,
    class_depth: int | None = None,
    seed: int = 0,
    download: bool = True,
    download_root: Path | str | None = None,
) -> Dataset:
    """List a data set: a card's name, a folder or zip of class folders, or a table of `path,label[,split]`.

    Args:
        dataset: A name goes before a folder of the same name; `./name` is the folder.
        data_root: Where a named set's images are or shall go; see `featcache.datasets.locate`.
        split_file: One of CoOp's split files; without it, the one beside the images, else the set's own split, else a
            seeded one.
        class_names: A file of names in place of the set's own; see `read_class_names`.
        class_depth: How many folders deep the class folders of a folder or zip lie; see `list_class_folders`.
        seed: Of the splits that are made here.
        download: Whether a set that is not there may be downloaded.
        download_root: Where named sets are when there is no `data_root`; default: `places.home.datasets_folder()`.

    Raises:
        DataError: In one line, what is wrong and what to do.
    """
    split = None if split_file is None else Path(split_file).expanduser()
    card = find_card(dataset)
    try:
        if class_depth is not None and (card or split or Path(dataset).suffix.lower() in TABLES):
            raise DataError("--class-depth is for a folder or zip of class folders: leave it out")
        if card is not None:
            root = Path(data_root or download_root or datasets_folder()).expanduser().absolute()
            if data_root is not None and not root.exists():
                raise DataError(f"the data root {root} does not exist: create it to download to it, or mend the path")
            found = _load_card(card, root, split, seed, download)
        else:
            if data_root is not None and not Path(dataset).exists():
                raise no_such_set(dataset)
            if data_root is not None:
                raise DataError(f"--data-root is for sets with a name, {dataset} is a path: give only --dataset")
            found = _load_path(dataset, split, seed, class_depth)
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error
    if class_names is None:
        return found
    file = Path(class_names).expanduser()
    return replace(
        found,
        class_names=read_class_names(file, found.class_names, found.labels),
        # Names that were given go before those that a prompt set has of its own.
        prompts={name: replace(spec, class_names=None) for name, spec in found.prompts.items()},
        provenance={**found.provenance, "class_names": f"given, {file.name}"},
    )


def _load_path(dataset: str, split_file: Path | None, seed: int, class_depth: int | None) -> Dataset:
    path = Path(dataset).expanduser()
    if not path.exists():
        if "/" in dataset or path.suffix:
            raise DataError(f"{dataset} does not exist: give a folder of class folders, a zip of them, or a table")
        raise no_such_set(dataset)
    path = path.resolve()
    files: ImageFiles
    if path.is_dir():
        files = FolderReader(path)
    elif path.suffix.lower() == ".zip":
        files = _only_folder(ZipReader(path))
    elif path.suffix.lower() in TABLES:
        if split_file is not None:
            raise DataError(f"a split file does not go with {path.name}: put a column split into the table")
        return _own(path, TABLES[path.suffix.lower()](path, seed), FolderReader(path.parent))
    else:
        raise DataError(f"{path} is neither a folder, a .zip, a .csv nor a .parquet: give one of these")
    if split_file is not None:
        return _own(path, list_coop_split(split_file, files), files)
    return _own(path, list_class_folders(files, seed, depth=class_depth), files)


def _only_folder(archive: ZipReader) -> ZipReader:
    """Step into the one folder that many archives wrap everything in, unless it is called as a split."""
    folders = archive.folders()
    if len(folders) == 1 and folders[0].lower() not in SPLIT_NAMES and archive.under(folders[0]).folders():
        return archive.under(folders[0])
    return archive


def _own(path: Path, listing: Listing, reader: Reader) -> Dataset:
    provenance = {"card": None, "source": str(path), "licence": None, **_origins(listing)}
    return Dataset(path.stem, listing.class_names, listing.splits, reader, OWN_PROMPTS, "default", provenance)


def _load_card(card: Card, root: Path, split_file: Path | None, seed: int, download: bool) -> Dataset:
    reader: Reader
    prompts = card.prompts()
    if split_file is not None and card.native in ("digits", "cifar"):
        raise DataError(f"{card.title} takes no split file: its images have no paths; leave out --split-file")
    if card.embedded:
        assert card.class_names is not None
        listing, reader, images = list_digits(card.class_names, seed), DigitsReader(), "scikit-learn"
    else:
        located = _locate_or_download(card, root, download)
        images = str(located.files)
        if card.native == "cifar":
            listing, reader = list_cifar(card, root, seed)
        else:
            reader = located.files
            if split_file is None and card.coop_split is not None:
                split_file = located.find(card.coop_split)
            if split_file is not None:
                listing = list_coop_split(split_file, located.files)
                prompts = _reordered(prompts, card, listing.class_names)
            else:
                listing = list_native(card, located, seed)
    if len(listing.class_names) != card.classes:
        raise DataError(
            f"{card.title} has {card.classes} classes, {images} with {listing.names_origin} has "
            f"{len(listing.class_names)}: give the split file that belongs to the set, or the folder as --dataset"
        )
    provenance = {
        "card": card.name,
        "images": images,
        "source": card.source,
        "licence": card.licence,
        "expected_rows": dict(card.splits),
        **_origins(listing),
    }
    return Dataset(card.name, listing.class_names, listing.splits, reader, prompts, card.default_prompts, provenance)


def _locate_or_download(card: Card, root: Path, download: bool) -> Located:
    located = locate(card, root)
    if located is None and card.downloads and download:
        download_with_torchvision(card, root)
        located = locate(card, root)
    if located is None:
        raise DataError(
            f"no images of {card.title} in {looked_in(card, root)}: {card.by_hand.format(root=root)}, "
            "or say with --data-root where they are"
        )
    return located


def _reordered(prompts: Mapping[str, PromptSpec], card: Card, class_names: tuple[str, ...]) -> dict[str, PromptSpec]:
    """Prompt sets with class names of their own, brought from the card's class order into that of a split file.

    They are left out where the split file has other classes than the card: nothing says which is which then.
    """
    if card.class_names is None or class_names == card.class_names:
        return dict(prompts)
    places = {name: place for place, name in enumerate(card.class_names)}
    if set(places) != set(class_names):
        return {name: spec for name, spec in prompts.items() if spec.class_names is None}
    return {
        name: spec
        if spec.class_names is None
        else replace(spec, class_names=tuple(spec.class_names[places[c]] for c in class_names))
        for name, spec in prompts.items()
    }


def _origins(listing: Listing) -> dict[str, Any]:
    return {
        "split": dict(listing.split_origin),
        "class_names": listing.names_origin,
        "labels": list(listing.labels or listing.class_names),
        "left_out": dict(listing.left_out),
    }
