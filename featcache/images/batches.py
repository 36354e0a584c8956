"""From a listing to batches of pixel tensors, decoded in worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from featcache.errors import DataError
from featcache.ids import decode_ids
from featcache.images.decode import decode
from featcache.images.views import ViewTransform

if TYPE_CHECKING:
    from PIL.Image import Image

    from featcache.datasets.dataset import Reader

PART_BYTES = 40 * 2**20  # of pixels that a worker hands over at once: 256 images of 224 x 224 without views

Transform = Callable[["Image"], torch.Tensor]


@dataclass
class PixelBatch:
    """B decoded images of one split: a batch or a part of one.

    Attributes:
        pixels: (B, 1 + V, 3, H, W) uint8: the centre view, then the augmented ones; zeros where unreadable.
        readable: (B,) booleans: which images could be read.
        reasons: Why an image is unreadable; empty strings for the others.
    """

    pixels: torch.Tensor
    readable: torch.Tensor
    reasons: list[str]

    def pin_memory(self) -> PixelBatch:
        """The same in page-locked memory, so that the copy to a GPU can overlap with computing."""
        return PixelBatch(self.pixels.pin_memory(), self.readable, self.reasons)


class ImageRows(Dataset[PixelBatch]):
    """Runs of rows as a map-style data set, so that one item is some rows and workers collate.

    Args:
        reader: Reads an image by its id.
        ids: (N, W) uint8 ids of each split. An array and not strings: workers share its memory, while touching a
            Python string writes its reference count and so copies the page it lies on.
        parts: The splits and rows to decode, in order.
        transform: What makes the encoder's input of an image, uint8 (`Encoder.pixels`).
        view_transform: The augmentation, used `views[split]` times an image.
        views: V of each split.
        seed: Of the augmentation; each image and view has its own stream, derived from the seed, the image's id and
            the view's number, so neither workers nor resuming can change them.
    """

    def __init__(
        self,
        reader: Reader,
        ids: Mapping[str, np.ndarray],
        parts: Sequence[tuple[str, range]],
        *,
        transform: Transform,
        view_transform: ViewTransform,
        views: Mapping[str, int],
        seed: int,
    ) -> None:
        self._reader, self._ids, self._parts = reader, ids, parts
        self._transform, self._view_transform, self._views, self._seed = transform, view_transform, views, seed

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, item: int) -> PixelBatch:
        split, rows = self._parts[item]
        views = self._views.get(split, 0)
        loaded = [self._load(str(name), views) for name in decode_ids(self._ids[split][rows.start : rows.stop])]
        shape = next((pixels.shape for pixels, _ in loaded if pixels is not None), None)
        blank = torch.zeros(shape if shape is not None else (1 + views, 3, 1, 1), dtype=torch.uint8)
        return PixelBatch(
            pixels=torch.stack([blank if pixels is None else pixels for pixels, _ in loaded]),
            readable=torch.tensor([pixels is not None for pixels, _ in loaded]),
            reasons=[reason for _, reason in loaded],
        )

    def _load(self, image_id: str, views: int) -> tuple[torch.Tensor | None, str]:
        try:
            image = decode(self._reader.read(image_id))
            pixels = [self._transform(image)]
            for view in range(views):
                pixels.append(self._view_transform(image, _view_seed(self._seed, image_id, view)))
        except (DataError, OSError) as error:
            return None, str(error) or type(error).__name__
        return torch.stack(pixels), ""


def load_parts(rows: ImageRows, *, workers: int, pin_memory: bool) -> Iterator[PixelBatch]:
    """Decoded parts in order, made ahead of time by worker processes (0: in this one).

    Raises:
        DataError: The system killed a worker.
    """
    loader = DataLoader(
        rows,
        batch_size=None,  # an item already is a run of rows
        num_workers=workers,
        pin_memory=pin_memory,
        prefetch_factor=2 if workers else None,
        generator=torch.Generator(),  # the loader seeds its workers; the caller's random state stays as it is
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        message = "a decoding process was killed, most likely for want of memory; "
        raise DataError(message + "type --workers 1 or 0, or give a container more shared memory") from error


def split_batch(rows: range, bytes_per_row: int) -> list[range]:
    """A batch in runs of rows small enough that queues of them stay small, whatever the number of views."""
    step = max(1, PART_BYTES // bytes_per_row)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def join_parts(parts: Sequence[PixelBatch]) -> PixelBatch:
    """The parts of a batch as one; a part without a readable image takes the shape of the others."""
    if len(parts) == 1:
        return parts[0]
    shape = next((part.pixels.shape[1:] for part in parts if part.readable.any()), parts[0].pixels.shape[1:])
    pixels = [
        part.pixels if part.readable.any() else torch.zeros(len(part.readable), *shape, dtype=torch.uint8)
        for part in parts
    ]
    return PixelBatch(
        pixels=torch.cat(pixels),
        readable=torch.cat([part.readable for part in parts]),
        reasons=[reason for part in parts for reason in part.reasons],
    )


def _view_seed(seed: int, image_id: str, view: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{image_id}\0{view}".encode()).digest()[:8], "little") >> 1
