"""Data-set cards, `data/cards/<name>.toml`: what a named set is, where its images lie, and the words for its classes.

A card's keys (all but the first six are optional):

    title, aliases, classes, splits, licence, source, citation
    folders          class folders in label order; `[names]` gives the class names of those that are called otherwise
    class_names      class names in label order, for sets without class folders
    class_names_from where names come from that the card does not carry
    [images]         roots: places of the image folder below the data root, tried in order; marker: paths of which one
                     must exist there; archives: zip files to read in place; torchvision: the class that downloads the
                     set; by_hand: what to do without it; embedded: ships with a dependency
    [split]          coop: name of CoOp's split file; native: the set's own form of split, see `native_splits`
    [prompts.NAME]   templates, or templates_from a name in `open_clip.zero_shot_metadata`; class_names where the
                     literature words the classes otherwise for these templates
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featcache.assets import data_dir
from featcache.datasets.shipped import imagenet_templates
from featcache.datasets.sources.sources import what_can_be_given
from featcache.errors import DataError, in_a_line
from featcache.prompts import PromptSpec


@dataclass(frozen=True, eq=False)
class Card:
    """One card. `splits` are the row counts of CoOp's protocol (or of the set's own split, where CoOp has none).

    Attributes:
        name: As one types it: the file's name.
        title: For people.
        aliases: Other names that mean this set.
        classes: Number of classes.
        splits: Expected rows of each split.
        licence: Of the images.
        source: Web address.
        citation: The paper.
        embedded: Whether the images ship with a dependency.
        downloads: Whether torchvision can download it.
        folders: Class folders in label order; None where classes are not folders, or many.
        names: Class names of the folders (or shipped names) that are called otherwise.
        class_names: In label order; None where the set's own files or a dependency have them.
        class_names_from: Where they come from.
        roots: Places of the image folder below the data root.
        marker: Paths of which one must exist in the image folder; none: any of the class folders.
        archives: Zip files below the data root that are read in place.
        torchvision: Name of the class in `torchvision.datasets` that downloads the set.
        by_hand: What to do where it cannot be downloaded; `{root}` is the data root.
        coop_split: Name of CoOp's split file.
        native: The set's own form of split.
        default_prompts: The prompt set to use when nobody asks for another: CoOp's, where there is one.
        prompt_tables: The card's prompt sets as written; `prompts()` reads them.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    classes: int
    splits: Mapping[str, int]
    licence: str
    source: str
    citation: str
    embedded: bool
    folders: tuple[str, ...] | None
    names: Mapping[str, str]
    class_names: tuple[str, ...] | None
    class_names_from: str
    roots: tuple[str, ...]
    marker: tuple[str, ...]
    archives: tuple[str, ...]
    torchvision: str | None
    by_hand: str
    coop_split: str | None
    native: str
    default_prompts: str
    prompt_tables: Mapping[str, Mapping[str, Any]]

    @property
    def downloads(self) -> bool:
        """Whether torchvision can download the set."""
        return self.torchvision is not None

    def prompts(self) -> dict[str, PromptSpec]:
        """The named prompt sets, the default one first."""
        order = sorted(self.prompt_tables, key=lambda name: name != self.default_prompts)
        return {name: _prompt_set(self.prompt_tables[name]) for name in order}


def list_cards() -> list[Card]:
    """Every card, by name."""
    return list(_cards().values())


def find_card(name: str) -> Card | None:
    """The card of a name or alias, whatever its case, hyphens and underscores; None where there is none."""
    return next((card for card in list_cards() if _key(name) in map(_key, (card.name, *card.aliases))), None)


def no_such_set(name: str) -> DataError:
    """The error for a name that is no card and no file, with the nearest names."""
    known = {_key(alias): card.name for card in list_cards() for alias in (card.name, *card.aliases)}
    near = dict.fromkeys(known[key] for key in difflib.get_close_matches(_key(name), known, n=3, cutoff=0.6))
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return DataError(f'no data set "{name}": {hint}`featcache datasets` lists the names; or give {what_can_be_given()}')


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").replace(" ", "").casefold()


@functools.cache
def _cards() -> dict[str, Card]:
    return {path.stem: read_card(path) for path in sorted((data_dir() / "cards").glob("*.toml"))}


def read_card(path: Path) -> Card:
    """The card in a file.

    Raises:
        DataError: It is no TOML, or lacks a key, or one has another kind of value.
    """
    try:
        return _card(tomllib.loads(path.read_text(encoding="utf-8")), path.stem)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {in_a_line(error)}"
        raise DataError(f"{path} is no card ({reason}): expected the keys of another file there") from error


def _card(table: Mapping[str, Any], name: str) -> Card:
    images, split = table["images"], table["split"]
    folders = tuple(table["folders"]) if "folders" in table else None
    names = table.get("names", {})
    class_names = tuple(table["class_names"]) if "class_names" in table else None
    if folders is not None:
        class_names = tuple(names.get(folder, folder) for folder in folders)
    return Card(
        name=name,
        title=table["title"],
        aliases=tuple(table["aliases"]),
        classes=table["classes"],
        splits=table["splits"],
        licence=table["licence"],
        source=table["source"],
        citation=table["citation"],
        embedded=images.get("embedded", False),
        folders=folders,
        names=names,
        class_names=class_names,
        class_names_from=table.get("class_names_from", "card"),
        roots=tuple(images.get("roots", ())),
        marker=tuple(images.get("marker", ())),
        archives=tuple(images.get("archives", ())),
        torchvision=images.get("torchvision"),
        by_hand=images.get("by_hand", ""),
        coop_split=split.get("coop"),
        native=split["native"],
        default_prompts=table["default_prompts"],
        prompt_tables=table["prompts"],
    )


def _prompt_set(table: Mapping[str, Any]) -> PromptSpec:
    templates = imagenet_templates(table["templates_from"]) if "templates_from" in table else table["templates"]
    return PromptSpec(
        templates=tuple(templates),
        class_names=tuple(table["class_names"]) if "class_names" in table else None,
    )
