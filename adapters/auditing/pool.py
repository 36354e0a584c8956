"""Every readable image of a cache, of all splits together: what an audit looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.arrays import Floats, Ints, unit
from adapters.errors import TaskError
from featcache.cache.layout import UNLABELLED

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


class Image(NamedTuple):
    """Which image: its split, its id, its row in the split."""

    split: str
    id: str
    row: int


@dataclass(frozen=True, eq=False)
class Pool:
    """The readable images; those that mended labels leave out are not among them.

    Attributes:
        features: unit rows (N, D).
        labels: class indices (N,); -1 for an image without a label.
        splits: names of the splits.
        split: index into `splits` (N,).
        ids: names of the images (N,).
        rows: their rows in their splits (N,).
        content: digests of the files (N, 16); None where some split of the cache has none.
        unreadable: the images without an embedding.
    """

    features: Floats
    labels: Ints
    splits: tuple[str, ...]
    split: Ints
    ids: npt.NDArray[np.str_]
    rows: Ints
    content: npt.NDArray[np.uint8] | None
    unreadable: tuple[Image, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(N,) which have a label."""
        return np.asarray(self.labels != UNLABELLED)

    def image(self, number: int) -> Image:
        """Which image that row of the pool is."""
        return Image(self.splits[self.split[number]], str(self.ids[number]), int(self.rows[number]))

    def of_split(self, name: str) -> npt.NDArray[np.bool_]:
        """(N,) which are of a split; none where the cache has no such split."""
        return np.asarray(self.split == (self.splits.index(name) if name in self.splits else -1))


def read_pool(cache: Cache) -> Pool:
    """Read all splits.

    Raises:
        TaskError: no image of the cache can be read.
    """
    features, labels, split, ids, rows, content = [], [], [], [], [], []
    unreadable: list[Image] = []
    for number, name in enumerate(cache.splits):
        part = cache[name]
        left_out = (part.labels == UNLABELLED) & (part.stored_labels != UNLABELLED)
        kept = np.flatnonzero(part.valid & ~left_out)
        unreadable += [Image(name, str(part.ids[row]), int(row)) for row in np.flatnonzero(~part.valid)]
        features.append(unit(part.take_images(kept)) if len(kept) else np.empty((0, part.images.shape[1]), np.float32))
        labels.append(part.labels[kept])
        split.append(np.full(len(kept), number))
        ids.append(part.ids[kept])
        rows.append(kept)
        content.append(None if part.content is None else part.content[kept])
    if not sum(map(len, rows)):
        raise TaskError(f"no image of cache {cache.name} can be read: give another cache")
    digests = [each for each in content if each is not None]
    return Pool(
        features=np.concatenate(features),
        labels=np.concatenate(labels).astype(np.int64),
        splits=tuple(cache.splits),
        split=np.concatenate(split),
        ids=np.concatenate(ids),
        rows=np.concatenate(rows),
        content=np.concatenate(digests) if len(digests) == len(content) else None,
        unreadable=tuple(unreadable),
    )
