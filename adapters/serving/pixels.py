"""How many pixels an image has, told before any is decoded."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from featcache.errors import ImageError
from featcache.images.decode import DECODE_ERRORS, opened


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
