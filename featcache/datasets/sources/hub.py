"""Data sets of the Hugging Face hub by name: `hf:owner/name[@revision][:configuration]`.

Their files are downloaded as they are, and opened as the folder that they make: tables, tars or images. Of a data set
with configurations, one is taken: the one that is asked for, the only one, or the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from featcache.datasets.listing import SPLIT_NAMES
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.sources.image_tables import list_tables
from featcache.datasets.sources.source import OF_MANY, Asked, Opened, Source
from featcache.datasets.sources.sources import source_of
from featcache.errors import DataError, in_a_line
from featcache.places.hub import dataset_card, download_dataset

_NAME = re.compile(r"hf:(?P<name>[^@:]+)(@(?P<revision>[^:]+))?(:(?P<configuration>.+))?")
CARD = ("README.md", ".gitattributes")
"""What is asked for first: the second is always there."""


def recognises(asked: Asked) -> bool:
    """What begins with `hf:`."""
    return asked.dataset.startswith("hf:")


def open_hub(asked: Asked) -> Opened:
    """Download a data set, unless it is there, and open it.

    Raises:
        DataError: The name is not of this form, as `download_dataset`, there is no such configuration or none was
            chosen of several, or as the source that opens the folder.
    """
    parts = _NAME.fullmatch(asked.dataset)
    if parts is None:
        raise DataError(f"{asked.dataset} names no data set: type hf:owner/name, hf:owner/name@revision:configuration")
    name, configuration = parts["name"], parts["configuration"]
    repository = _Repository(name, parts["revision"], local_only=not asked.download)
    try:
        data_files, configurations = _data_files(dataset_card(repository.get(CARD)), name, configuration)
    except (LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"the card of {name} on the hub says `configs` as nobody reads them ({in_a_line(error)}): download it by "
            f"`hf download {name} --repo-type dataset`, and give the folder"
        ) from error
    if data_files:
        opened = _open_files(repository, data_files, configurations, asked)
    else:
        opened = _open_folder(repository, configuration, asked)
    chosen = f":{configuration}" if configuration else ""
    where = f"hf:{name}@{repository.commit}{chosen}"
    return replace(opened, name=name.rpartition("/")[2], where=where)


class _Repository:
    """One commit of a data set on the hub: the one that the first question found."""

    def __init__(self, name: str, revision: str | None, *, local_only: bool) -> None:
        self.name, self.commit, self.local_only = name, revision, local_only

    def get(self, patterns: Sequence[str] | None) -> Path:
        folder = download_dataset(self.name, self.commit, patterns, local_only=self.local_only)
        self.commit = folder.name
        return folder


def _data_files(card: Mapping[str, Any], name: str, configuration: str | None) -> tuple[dict[str, list[str]], int]:
    """Patterns of the files of each split, as the card has them for a configuration, and how many of these it has."""
    every = {each["config_name"]: each for each in card.get("configs", []) if "data_files" in each}
    if not every:
        return {}, 0
    default = [key for key, each in every.items() if each.get("default") or key == "default"]
    chosen = configuration or next(iter(default if len(every) > 1 else every), None)
    if chosen not in every:
        what = "has the configurations" if configuration is None else f"has no configuration {configuration}, but"
        raise DataError(f"{name} {what} {', '.join(every)}: type hf:{name}:{next(iter(every))}")
    files = every[chosen]["data_files"]
    # Either patterns of train, or a list of splits with patterns of each.
    by_split = isinstance(files, list) and all(isinstance(each, dict) for each in files)
    splits = files if by_split else [{"split": "train", "path": files}]
    return {str(each["split"]): _patterns(each["path"]) for each in splits}, len(every)


def _patterns(paths: str | Sequence[str]) -> list[str]:
    """Patterns whose stars also stand for folders, as `fnmatch` and the hub's client have them."""
    return [path.replace("**/", "*") for path in ([paths] if isinstance(paths, str) else paths)]


def _open_files(
    repository: _Repository, data_files: Mapping[str, Sequence[str]], configurations: int, asked: Asked
) -> Opened:
    """Open the tables that the card names; where its only configuration is of other files, they decide what it is."""
    folder = repository.get([*CARD, *(pattern for patterns in data_files.values() for pattern in patterns)])
    here = replace(asked, dataset=str(folder))
    found = {
        path: SPLIT_NAMES.get(split)
        for split, patterns in data_files.items()
        for path in FolderReader(folder).paths()
        if any(fnmatch(path, pattern) for pattern in patterns)
    }
    if not found or not all(path.endswith(".parquet") for path in found):
        if configurations > 1:  # files of another one may lie in the same folder
            typed = f"`hf download {repository.name} --repo-type dataset`"
            raise DataError(f"{asked.dataset} is not of Parquet files: download it by {typed}, and give the folder")
        return source_of(here).open(here)
    here.take_no_split_file("its splits are the hub's")
    here.take_no_class_depth()
    listing, reader = list_tables(folder, found, here)
    return Opened(listing=listing, reader=reader, name=here.name, where=here.where)


def _open_folder(repository: _Repository, configuration: str | None, asked: Asked) -> Opened:
    """Open tars and tables, else all files; of a configuration those in its folder."""
    start = f"{configuration}/" if configuration else ""
    for patterns in ([*(f"*{suffix}" for suffix in OF_MANY), "classes.*"], ["*"]):
        folder = repository.get([*CARD, *(start + pattern for pattern in patterns)]) / start
        paths = FolderReader(folder).paths() if folder.is_dir() else []
        if any(path.endswith(OF_MANY) for path in paths):
            break
    if not paths:
        raise DataError(f"{repository.name} has no files below {start}: choose a configuration from its page")
    tops = sorted({path.split("/")[0] for path in paths if path.endswith(".parquet") and "/" in path})
    if len(tops) > 1 and not any(top in SPLIT_NAMES for top in tops):
        raise DataError(f"{repository.name} has the configurations {', '.join(tops)}: type {asked.dataset}:{tops[0]}")
    here = replace(asked, dataset=str(folder))
    return source_of(here).open(here)


HUB = Source(recognises=recognises, open=open_hub)
