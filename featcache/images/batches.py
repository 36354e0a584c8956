"""From decoded parts to batches of the encoder's input size on the encoder's device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from featcache.encoders.pixels import Resizing
from featcache.images.decoding import DecodedPart
from featcache.images.resampling import Resample


@dataclass
class PixelBatch:
    """B images of one split.

    Attributes:
        pixels: (B, 1 + V, H, W, 3) uint8 on the device: the centre view, then the augmented ones; zeros where
            unreadable.
        reasons: Why an image is unreadable; empty strings for the others.
    """

    pixels: torch.Tensor
    reasons: list[str]

    @property
    def readable(self) -> np.ndarray:
        """(B,) booleans: which images could be read."""
        return readable(self.reasons)


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
        pixels = torch.zeros(rows, 1 + views, *self._size, 3, dtype=torch.uint8, device=self._device)
        reasons: list[str] = []
        for part in parts:
            sizes, of_part = part.told.sizes, part.told.reasons
            here = pixels[len(reasons) : len(reasons) + len(of_part)]
            reasons += of_part
            if sizes:
                pictures = self._resized(self._brought(part), sizes).view(-1, 1 + views, *self._size, 3)
                if len(pictures) == len(here):
                    here.copy_(pictures)
                else:
                    here[torch.from_numpy(readable(of_part)).to(self._device)] = pictures
        return PixelBatch(pixels, reasons)

    def _brought(self, part: DecodedPart) -> torch.Tensor:
        """A part's pixels on the device; those of a CPU are read where they are."""
        if self._copying is None:
            return part.pixels.to(self._device)
        with torch.cuda.stream(self._copying):
            there = part.pixels.to(self._device, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        part.wait = copied.synchronize
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(copied)
        there.record_stream(computing)
        return there

    def _resized(self, pixels: torch.Tensor, sizes: list[tuple[int, int]]) -> torch.Tensor:
        if self._resize is None:
            return pixels
        resample, resizing = self._resize
        return resample(pixels, sizes, resizing)


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
