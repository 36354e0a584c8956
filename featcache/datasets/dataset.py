"""A data set as the rest of the package sees it: splits of image ids and labels, and a reader for the images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from featcache.datasets.stratified import balanced_rows
from featcache.errors import DataError
from featcache.ids import Ids, blocks, listing_digest
from featcache.prompts import PromptSpec


class Reader(Protocol):
    """Reads images by id. Readers are pickled into worker processes, so they open files there, lazily."""

    def read(self, image_id: str) -> bytes | npt.NDArray[np.uint8] | Image.Image:
        """The encoded file as bytes, or, for sets that ship as arrays, pixels `(H, W)` or `(H, W, 3)` uint8.

        Raises:
            DataError: The archive around the image is damaged.
            OSError: The file cannot be read.
        """
        ...

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Bytes of each image's file, a cheap sign of its content; 0 for sets that ship as arrays."""
        ...


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split, in listing order.

    Attributes:
        ids: (N,) image ids, paths relative to the set's image folder where it has one; strings that are given in
            another sequence become `Ids`.
        labels: (N,) int64, index into the data set's class names, -1 for an image without a label; read-only.
    """

    ids: Sequence[str]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", Ids.of(self.ids))
        labels = np.asarray(self.labels, dtype=np.int64)
        if labels.flags.writeable:  # somebody's, who may go on writing
            labels = labels.copy()
            labels.flags.writeable = False
        object.__setattr__(self, "labels", labels)
        if labels.shape != (len(self.ids),):
            raise ValueError(f"{len(self.ids)} ids but labels of shape {labels.shape}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.labels.flags.writeable = False  # pickle makes arrays that can be written

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[np.int64]) -> Split:
        """The rows at these positions, in the order given."""
        return Split(Ids.of(self.ids).take(rows), self.labels[rows])

    def followed_by(self, other: Split) -> Split:
        """These rows, then those of another split."""
        return Split(Ids.joined([Ids.of(self.ids), Ids.of(other.ids)]), np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels, the words for the classes, and where all of it came from.

    Attributes:
        name: The card's name, or that of the folder or file.
        class_names: (C,) in label order; none where no image has a label and none were given.
        splits: Some of "train", "val" and "test", in this order.
        reader: Reads every id of every split.
        prompts: Named prompt sets, at least one.
        default_prompts: The key of `prompts` to use when nobody asks for another.
        provenance: JSON values: card, folders, labels, where split and class names came from, what was left out,
            licence, source.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    reader: Reader
    prompts: Mapping[str, PromptSpec]
    default_prompts: str
    provenance: Mapping[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """(C,) what the source itself calls the classes, such as names of folders; the class names where it does not.

        A class name is what prompts are made of.
        """
        return tuple(self.provenance.get("labels") or self.class_names)

    @property
    def location(self) -> str:
        """Where the images were found."""
        return str(self.provenance.get("images") or self.provenance["source"])

    @cached_property
    def listing_sha256(self) -> str:
        """The digest of ids and labels in order, see `listing_digest`."""
        return listing_digest({name: (split.ids, split.labels) for name, split in self.splits.items()})

    def sizes_digest(self) -> str:
        """sha256 of the sizes of all image files, in order: tells one folder from another of the same listing.

        They are asked for once: of very many files that takes minutes.
        """
        return self._sizes_sha256

    @cached_property
    def _sizes_sha256(self) -> str:
        sha = hashlib.sha256()
        for split in self.splits.values():
            sizes = iter(self.reader.sizes(split.ids))
            for rows in blocks(len(split)):
                sha.update(np.fromiter(sizes, dtype="<i8", count=rows.stop - rows.start).data)
        return sha.hexdigest()

    def limited(self, n: int, seed: int) -> Dataset:
        """At most `n` rows of each split, class-balanced, in listing order.

        Every class gives the same number of rows as far as it has them; what is left over goes, one each, to classes
        in a seeded order. Images without a label count as a class. The rows for a smaller `n` are among those for a
        larger one.

        Raises:
            DataError: `n` is not positive.
        """
        if n < 1:
            raise DataError(f"a limit of {n} rows leaves nothing: give at least 1")
        splits = {
            name: split if len(split) <= n else split.take(balanced_rows(split.ids, split.labels, n, seed))
            for name, split in self.splits.items()
        }
        return replace(self, splits=splits, provenance={**self.provenance, "limit": {"rows": n, "seed": seed}})

    def subset(self, splits: Sequence[str]) -> Dataset:
        """Only these splits, in the data set's own order.

        Raises:
            DataError: One of them is not there.
        """
        for name in splits:
            if name not in self.splits:
                raise DataError(f'{self.name} has no split "{name}": choose from {", ".join(self.splits)}')
        return replace(self, splits={name: split for name, split in self.splits.items() if name in splits})
