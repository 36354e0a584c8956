"""What the user asks `extract` for, and what of it follows without loading the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from featcache.datasets.dataset import Dataset
from featcache.datasets.load import load_dataset
from featcache.datasets.readers.bounded import MOST_BYTES, with_most
from featcache.datasets.sources.tables.columns import TableOptions
from featcache.encoders.models import canonical, local_weights_sha256
from featcache.errors import DataError, PromptError
from featcache.extraction.engines.engines import DEFAULT_ENGINE, ENGINES
from featcache.places.folder import check_name
from featcache.places.home import datasets_folder, resolve_root
from featcache.prompts import PromptSpec, read_prompts

OnError = Literal["fail", "skip"]
KEPT = "pre-projection"
"""What can be kept beside the embeddings: what comes before the image tower's last projection, and the projections."""
BatchSize = int | Literal["auto"] | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of `featcache.extract`, where each argument is explained."""

    model: str
    dataset: str
    pretrained: str | None = None
    data_root: str | Path | None = None
    splits: Sequence[str] | None = None
    split_file: str | Path | None = None
    class_names: str | Path | None = None
    class_depth: int | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    image_dir: str | Path | None = None
    suffix: str | None = None
    templates: str | Path | None = None
    views: int = 0
    keep: str | None = None
    precision: str = "auto"
    dtype: str = "float16"
    batch_size: BatchSize = None
    decode: str = "exact"
    workers: int | None = None
    on_error: OnError = "fail"
    limit: int | None = None
    max_bytes: int = MOST_BYTES
    check: bool | None = None
    seed: int = 0
    engine: str = DEFAULT_ENGINE
    device: str = "auto"
    devices: str | None = None
    address: str | None = None
    root: str | Path | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("views", self.views, 0),
            ("workers", self.workers, 0),
            ("batch_size", None if self.batch_size == "auto" else self.batch_size, 1),
            ("limit", self.limit, 1),
            ("max_bytes", self.max_bytes, 1),
            ("class_depth", self.class_depth, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                also = " or auto" if name == "batch_size" else ""
                raise DataError(f"{_option(name)} {value!r} given; expected a number, {least} or more{also}")
        for name, text in (("name", self.name), ("device", self.device), ("precision", self.precision)):
            if text is not None and not isinstance(text, str):
                raise DataError(f"{_option(name)} {text!r} given; expected a word")
        for name, choice, known in (
            ("dtype", self.dtype, ("float16", "float32")),
            ("decode", self.decode, ("exact", "fast")),
            ("keep", self.keep or KEPT, (KEPT,)),
            ("on_error", self.on_error, ("fail", "skip")),
            ("engine", self.engine, tuple(ENGINES)),
        ):
            if choice not in known:
                raise DataError(f"{_option(name)} {choice!r} given; expected {' or '.join(known)}")
        for name, given, engine in (("devices", self.devices, "local"), ("address", self.address, "ray")):
            if given is not None and self.engine != engine:
                raise DataError(
                    f"{_option(name)} {given!r} given, which needs --engine {engine}; it is {self.engine!r}: change one"
                )
        if self.devices is not None and self.device != "auto":
            raise DataError(f"--device {self.device} and --devices {self.devices} given: leave one of them out")
        listed = isinstance(self.splits, Sequence) and not isinstance(self.splits, str)
        if self.splits is not None and not (listed and all(isinstance(split, str) for split in self.splits)):
            raise DataError(f"splits is {self.splits!r}; expected a list such as ['train', 'test']")

    def load_dataset(self, *, download: bool = True) -> Dataset:
        """The data set, cut down to the splits and rows asked for; a named one may be downloaded."""
        return self.cut(self.listed(download=download))

    def listed(self, *, download: bool = True) -> Dataset:
        """All of the data set; a named one may be downloaded."""
        dataset = load_dataset(
            self.dataset,
            data_root=self.data_root,
            split_file=self.split_file,
            class_names=self.class_names or None,
            class_depth=self.class_depth,
            table=TableOptions(
                path_column=self.path_column,
                label_column=self.label_column,
                split_column=self.split_column,
                image_dir=Path(self.image_dir) if self.image_dir else None,
                suffix=self.suffix,
            ),
            seed=self.seed,
            download=download,
            download_root=datasets_folder(self.root),
        )
        return replace(dataset, reader=with_most(dataset.reader, self.max_bytes))

    def cut(self, dataset: Dataset) -> Dataset:
        """Of a data set the splits and rows that were asked for."""
        if self.splits:
            dataset = dataset.subset([split.strip() for split in self.splits])
        return dataset.limited(self.limit, self.seed) if self.limit else dataset

    def cache_name(self, dataset: Dataset) -> str:
        """The cache's name: the one given, or what was asked for in readable form."""
        if self.name:
            check_name(self.name, "the cache's name")
            return self.name
        architecture, pretrained = canonical(self.model, self.pretrained)
        parts = [dataset.name, Path(architecture).name]
        parts += [] if pretrained == "local" else [Path(pretrained).stem]
        parts += [f"views{self.views}"] if self.views else []
        parts += [self.keep] if self.keep else []
        parts += [self.decode] if self.decode != "exact" else []
        parts += [f"limit{self.limit}"] if self.limit else []
        # Folders and files may be called anything; caches are folders, names in tables and parts of URLs.
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts)).lstrip("._-") or "cache"

    def fingerprint(self, dataset: Dataset) -> dict[str, Any]:
        """What can be compared with a finished cache at once, before any model is loaded."""
        architecture, pretrained = canonical(self.model, self.pretrained)
        return {
            "dataset": dataset_identity(dataset),
            "architecture": architecture,
            "pretrained": pretrained,
            "weights_file_sha256": local_weights_sha256(self.model, self.pretrained),
            "views": self.views_identity(),
            "dtype": self.dtype,
            **({"keep": self.keep} if self.keep else {}),
            **({} if self.decode == "exact" else {"decode": self.decode}),
            "images": {"location": dataset.location, "sizes_sha256": dataset.sizes_digest()},
        }

    def views_identity(self) -> dict[str, Any] | None:
        """The augmented views, or None: only the training split has any, since supports are drawn from it."""
        if not self.views:
            return None
        augmentation = "RandomResizedCrop(scale 0.5 to 1, bicubic), horizontal flip with probability 0.5"
        return {"count": self.views, "split": "train", "augmentation": augmentation, "seed": self.seed}

    def elsewhere(self) -> Request:
        """The same for another process, which may be in another folder: paths are absolute."""
        model, pretrained = canonical(self.model, self.pretrained)
        return replace(
            self,
            model=model,
            pretrained=pretrained,
            root=resolve_root(self.root),
            dataset=_absolute(self.dataset) or self.dataset,
            data_root=_absolute(self.data_root),
            split_file=_absolute(self.split_file),
            class_names=_absolute(self.class_names),
            image_dir=_absolute(self.image_dir),
            templates=_absolute(self.templates),
        )

    def dataset_json(self, dataset: Dataset) -> dict[str, Any]:
        """What is needed to list the same data set again, with paths made absolute."""
        content = {
            "dataset": dataset.provenance["card"] or dataset.provenance["source"],
            "data_root": _absolute(self.data_root),
            "split_file": _absolute(self.split_file),
            "class_names": _absolute(self.class_names),
            "class_depth": self.class_depth,
            "path_column": self.path_column,
            "label_column": self.label_column,
            "split_column": self.split_column,
            "image_dir": _absolute(self.image_dir),
            "suffix": self.suffix,
            "splits": list(self.splits) if self.splits else None,
            "limit": self.limit,
            "seed": self.seed,
        }
        return {key: value for key, value in content.items() if value is not None}


def _option(field: str) -> str:
    """How a field is typed."""
    return f"--{field.replace('_', '-')}"


def _absolute(path: str | Path | None) -> str | None:
    """A path that exists as an absolute one; a card's name as it is."""
    if path is None:
        return None
    place = Path(path).expanduser()
    return str(place.resolve()) if place.exists() else str(path)


def listed_again(manifest: Mapping[str, Any], *, data_root: str | Path | None = None, download: bool = True) -> Dataset:
    """The data set of a cache, listed again as the first run was asked to.

    Args:
        manifest: the cache's.
        data_root: Where the images are, if they moved since.
        download: Whether a set that is not there may be downloaded.

    Raises:
        DataError: It cannot be found any more.
    """
    return request_of(manifest, data_root=data_root).load_dataset(download=download)


def request_of(manifest: Mapping[str, Any], *, data_root: str | Path | None = None) -> Request:
    """What the first run of a cache was asked to list, with the images possibly elsewhere."""
    asked = dict(manifest["provenance"]["request"])
    if data_root:
        asked["data_root"] = str(data_root)
    return Request(model=manifest["identity"]["encoder"]["architecture"], **asked)


def dataset_identity(dataset: Dataset) -> dict[str, Any]:
    """What of a data set could change a number."""
    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "rows": {split: len(part.ids) for split, part in dataset.splits.items()},
        "listing_sha256": dataset.listing_sha256,
    }


def choose_prompts(
    named: Mapping[str, PromptSpec], default: str, templates: str | Path | None
) -> tuple[str, PromptSpec]:
    """The name and content of the prompt set to use: one of the data set's, or a file.

    Raises:
        PromptError: Neither a prompt set of the data set nor a file.
    """
    if templates is None:
        return default, named[default]
    if str(templates) in named:
        return str(templates), named[str(templates)]
    if Path(templates).is_file():
        spec = read_prompts(Path(templates))
        # Prompts for some classes alone leave the others to the default.
        return Path(templates).stem, replace(spec, others=named[default].templates) if spec.per_class else spec
    message = f"--templates {templates}: neither a file nor a prompt set of this data set ({', '.join(named)}); "
    raise PromptError(message + "give a text file with one template a line, such as: a photo of a {}.")
