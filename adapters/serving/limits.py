"""What a request may cost, and what is answered to one that would cost more."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, fields

from PIL import Image

from featcache.errors import ImageError
from featcache.images.decode import DECODE_ERRORS, opened


@dataclass(frozen=True)
class Limits:
    """Bounds on requests; a request over one is refused with the status that stands beside.

    Attributes:
        body: bytes of a request (413).
        bodies: bytes of all requests that are being read or answered (503).
        images: of a request (413).
        pixels: of an image (an error of that image; 422 where no image of the request can be read).
        seconds: for a request's body to arrive (408), and then for its answer (503).
        waiting: images that wait for the encoder (503).
        connections: at once (503).
    """

    body: int = 32 * 2**20
    bodies: int = 256 * 2**20
    images: int = 64
    pixels: int = 50_000_000
    seconds: float = 30.0
    waiting: int = 1024
    connections: int = 512

    def to_json(self) -> dict[str, float]:
        """The bounds by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def check_pixels(raw: bytes, most: int) -> None:
    """Refuse an image by its header, before a pixel is decoded.

    Raises:
        ImageError: it has more than `most` pixels. What has no such header is for `decode` to tell.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = opened(io.BytesIO(raw)).size
    except (Image.DecompressionBombError, *DECODE_ERRORS):
        return
    if width * height > most:
        raise ImageError(f"has {width} x {height} pixels, expected at most {most:,} in all")
