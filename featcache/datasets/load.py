"""From what people type after `--dataset` to a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featcache.datasets.cards import Card, find_card, no_such_set
from featcache.datasets.dataset import Dataset, Reader
from featcache.datasets.given_class_names import class_names_given
from featcache.datasets.listing import Listing
from featcache.datasets.locate import Located, locate, looked_in
from featcache.datasets.named_sets.digits import DigitsReader, list_digits
from featcache.datasets.named_sets.native_splits import list_native
from featcache.datasets.named_sets.torchvision_sets import download as download_with_torchvision
from featcache.datasets.named_sets.torchvision_sets import list_cifar
from featcache.datasets.sources.coop_split import list_coop_split
from featcache.datasets.sources.source import Asked
from featcache.datasets.sources.sources import source_of
from featcache.datasets.sources.tables.columns import NOTHING_TOLD, TableOptions
from featcache.errors import DataError, visible
from featcache.places.home import datasets_folder
from featcache.prompts import PromptSpec

OWN_PROMPTS = {"default": PromptSpec(templates=("a photo of {a} {}.",))}
"""The prompt set of a folder or table."""


def load_dataset(
    dataset: str,
    *,
    data_root: Path | str | None = None,
    split_file: Path | str | None = None,
    class_names: Path | str | None = None,
    class_depth: int | None = None,
    table: TableOptions = NOTHING_TOLD,
    seed: int = 0,
    download: bool = True,
    download_root: Path | str | None = None,
) -> Dataset:
    """List a data set: a card's name, or what one of `SOURCES` recognises.

    Args:
        dataset: A name goes before a folder of the same name; `./name` is the folder.
        data_root: Where a named set's images are or shall go; see `featcache.datasets.locate`.
        split_file: One of CoOp's split files; without it, the one beside the images, else the set's own split, else a
            seeded one.
        class_names: Names in place of the set's own, or of one without labels: a file, or `cat,dog`; see
            `class_names_given`.
        class_depth: How many folders deep the class folders of a folder or zip lie; see `list_class_folders`.
        table: What is told of the columns of a table that lists images, and of where these are.
        seed: Of the splits that are made here.
        download: Whether a set that is not there may be downloaded.
        download_root: Where named sets are when there is no `data_root`, and what is kept of others; default:
            `places.home.datasets_folder()`.

    Raises:
        DataError: In one line, what is wrong and what to do.
    """
    split = None if split_file is None else Path(split_file).expanduser()
    card = find_card(dataset)
    try:
        asked = Asked(
            dataset=dataset,
            seed=seed,
            split_file=split,
            class_depth=class_depth,
            table=table,
            kept=Path(download_root or datasets_folder()).expanduser(),
            download=download,
        )
        if card is not None:
            asked.take_no_class_depth()
            asked.take_no_table_options()
            root = Path(data_root or download_root or datasets_folder()).expanduser().absolute()
            if data_root is not None and not root.exists():
                raise DataError(f"the data root {root} does not exist: create it to download to it, or mend the path")
            found = _load_card(card, root, split, seed, download)
        else:
            if data_root is not None:
                message = f"--data-root is for sets with a name, {asked.where} is a path: give only --dataset"
                raise DataError(message) if asked.exists else no_such_set(dataset)
            found = _load_own(asked)
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}" if error.filename else str(error)) from error
    if class_names is None:
        return found
    names, origin = class_names_given(class_names, found.class_names, found.labels)
    return replace(
        found,
        class_names=names,
        # Names that were given go before those that a prompt set has of its own.
        prompts={name: replace(spec, class_names=None) for name, spec in found.prompts.items()},
        provenance={**found.provenance, "class_names": origin, "labels": list(found.labels or names)},
    )


def _load_own(asked: Asked) -> Dataset:
    if not asked.exists and "/" not in asked.dataset and ":" not in asked.dataset and not asked.suffix:
        raise no_such_set(asked.dataset)
    source = source_of(asked)
    if not source.takes_table_options:
        asked.take_no_table_options()
    opened = source.open(asked)
    listing = opened.listing
    provenance = {"card": None, "source": opened.where, "licence": None, **_origins(listing)}
    if opened.images is not None:
        provenance["images"] = opened.images
    splits, reader = listing.splits, opened.reader
    return Dataset(opened.name, listing.class_names, splits, reader, OWN_PROMPTS, "default", provenance)


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
    found = listing.left_out_paths
    return {
        "split": dict(listing.split_origin),
        "class_names": listing.names_origin,
        "labels": list(listing.labels or listing.class_names),
        "left_out": dict(listing.left_out),
        **({"left_out_paths": {why: list(map(visible, paths)) for why, paths in found.items()}} if found else {}),
        **({"told": list(listing.told)} if listing.told else {}),
    }
