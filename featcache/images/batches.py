"""From decoded parts to batches of the encoder's input size on the encoder's device."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from featcache.encoders.device import current
from featcache.encoders.pixels import Resizing
from featcache.ids import CONTENT_BYTES
from featcache.images.decoding import DecodedPart
from featcache.images.jpeg_on_gpu import decoded
from featcache.images.resampling import Resample, Size


@dataclass
class PixelBatch:
    """B images of one split.

    Attributes:
        pixels: (P, 1 + V, H, W, 3) uint8 on the device, of the P rows that are not known: the centre view, then the
            augmented ones; zeros where unreadable.
        reasons: Why an image is unreadable; empty strings for the others.
        contents: (B, 16) uint8 digests of the image files; zeros where one could not be read.
        reading: Seconds that were waited for files to be read.
        decoding: Seconds that were waited for pictures to be decoded.
        copying: Seconds that it took to bring them to the device.
        known: (B,) where the embedding of a row's image is, -1 where nowhere; None: no row is known.
    """

    pixels: torch.Tensor
    reasons: list[str]
    contents: np.ndarray
    reading: float = 0.0
    decoding: float = 0.0
    copying: float = 0.0
    known: np.ndarray | None = None

    @property
    def readable(self) -> np.ndarray:
        """(B,) booleans: which images could be read."""
        return readable(self.reasons)

    @property
    def pictured(self) -> np.ndarray:
        """(P,) the rows that `pixels` are of."""
        return np.arange(len(self.reasons)) if self.known is None else np.flatnonzero(self.known < 0)


def readable(reasons: Sequence[str]) -> np.ndarray:
    """(B,) booleans: where there is no reason why not."""
    return np.array([not reason for reason in reasons], dtype=bool)


class Gathering:
    """Brings decoded parts to a device, where what is not resized yet is resized.

    On a GPU copying has a stream of its own: while it copies, the GPU computes what came before.

    Args:
        device: The encoder's.
        size: (height, width) of its input.
        resize: What resizes pictures there, and to what; None where they come resized.
    """

    def __init__(self, device: torch.device, size: tuple[int, int], resize: tuple[Resample, Resizing] | None) -> None:
        self._device, self._size, self._resize = device, size, resize
        self._copying = _stream(device) if device.type == "cuda" else None

    def gather(self, parts: Iterable[DecodedPart], rows: int, views: int) -> PixelBatch:
        """The parts of a batch of so many rows, with V views each, as one."""
        with current(self._device):
            return self._gathered(parts, rows, views)

    def _gathered(self, parts: Iterable[DecodedPart], rows: int, views: int) -> PixelBatch:
        began, waited = time.perf_counter(), {"reading": 0.0, "decoding": 0.0}
        pixels = torch.zeros(rows, 1 + views, *self._size, 3, dtype=torch.uint8, device=self._device)
        reasons: list[str] = []
        contents: list[bytes] = []
        places: list[int] = []
        for part in _timed(parts, waited):
            of_part = part.told.reasons
            contents += part.told.contents
            places += part.told.places
            here = pixels[len(reasons) : len(reasons) + len(of_part)]
            brought, sizes = self._brought(part) if part.told.sizes else (None, [])
            reasons += of_part  # bringing may have found files that cannot be decoded
            if brought is not None and sizes:
                pictures = self._resized(brought, sizes).view(-1, 1 + views, *self._size, 3)
                if len(pictures) == len(here):
                    here.copy_(pictures)
                else:
                    here[torch.tensor(part.told.pictured).to(self._device)] = pictures
        copying = time.perf_counter() - began - sum(waited.values())
        digests = b"".join(content.ljust(CONTENT_BYTES, b"\0") for content in contents)
        as_rows = np.frombuffer(digests, np.uint8).reshape(-1, CONTENT_BYTES)
        known = np.array(places, np.int64)
        batch = PixelBatch(pixels, reasons, as_rows, waited["reading"], waited["decoding"], copying)
        if (known >= 0).any():
            batch.known, batch.pixels = known, pixels[torch.from_numpy(known < 0).to(self._device)]
        return batch

    def _brought(self, part: DecodedPart) -> tuple[torch.Tensor, list[Size]]:
        """A part's pixels on the device, and their sizes; those of a CPU are read where they are."""
        if self._copying is None:
            return part.pixels.to(self._device), part.told.sizes
        with torch.cuda.stream(self._copying):
            if any(part.told.files):
                there, sizes, kept = self._decoded(part)
            else:
                there, sizes, kept = part.pixels.to(self._device, non_blocking=True), part.told.sizes, None
            copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            copied.record()
        # nvJPEG decodes on a stream of its own: it would write again where it wrote, were that not kept until copied.
        part.wait = partial(_wait, copied, kept)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(copied)
        there.record_stream(computing)
        return there, sizes

    def _decoded(self, part: DecodedPart) -> tuple[torch.Tensor, list[Size], object]:
        """The same where pictures are JPEG files, one to a row that is pictured, and what the files were decoded to.

        A file that is damaged becomes a reason.
        """
        told = part.told
        pieces = torch.split(part.pixels, told.lengths)
        files = decoded([piece for piece, file in zip(pieces, told.files, strict=True) if file], self._device)
        from_files = iter(files)
        rows = [row for row, pictured in enumerate(told.pictured) if pictured]
        pixels, sizes = [], []
        for row, piece, file, size in zip(rows, pieces, told.files, told.sizes, strict=True):
            picture = next(from_files) if file else piece.to(self._device, non_blocking=True)
            if isinstance(picture, str):
                told.reasons[row] = picture
            else:
                pixels.append(picture.reshape(-1))
                sizes.append(size)
        return torch.cat(pixels) if pixels else part.pixels.new_empty(0, device=self._device), sizes, files

    def _resized(self, pixels: torch.Tensor, sizes: list[Size]) -> torch.Tensor:
        if self._resize is None:
            return pixels
        resample, resizing = self._resize
        return resample(pixels, sizes, resizing)


def _timed(parts: Iterable[DecodedPart], waited: dict[str, float]) -> Iterator[DecodedPart]:
    """The parts; what each was waited for is added, divided as its worker spent its time."""
    every = iter(parts)
    while True:
        began = time.perf_counter()
        part = next(every, None)
        if part is None:
            return
        share = part.told.reading / max(part.told.reading + part.told.decoding, 1e-9)
        seconds = time.perf_counter() - began
        waited["reading"] += seconds * share
        waited["decoding"] += seconds * (1 - share)
        yield part


def _wait(copied: torch.cuda.Event, kept: object) -> None:
    """Wait for an event; what is kept lives until then."""
    copied.synchronize()


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
