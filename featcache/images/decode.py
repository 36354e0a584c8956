"""From bytes to a picture, by one rule: exactly what open_clip's own transform would see, or an error.

open_clip's transform takes what `PIL.Image.open` gives and resizes, crops and converts it to RGB itself. So nothing
is done here that would change a pixel: no rotation by EXIF, no flattening of transparency, no scaling of 16 bits, the
first frame of an animation. What is done: decoding to the end, so that a truncated file shows here and not as grey
rows, and refusing what the transform cannot take.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from contextlib import suppress
from functools import cache
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from featcache.errors import ImageError

# Resizing the short side to S makes the long side S times this ratio: one pixel by a million would fill the memory.
MAX_ASPECT_RATIO = 1000

Raw = bytes | np.ndarray | Image.Image
"""An encoded file's bytes; or pixels (H, W) or (H, W, 3) uint8; or an opened image, which need not be loaded."""


class Reads(Protocol):
    """What reads images, by whatever names them."""

    def read(self, named: Any, /) -> Raw:
        """An image. Raises DataError or OSError where it cannot be read."""
        ...


_JPEG_BEGINS, JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"
_TIFF_BEGINS = (b"II*\0", b"MM\0*")
TAIL = 4096
"""Bytes in which a file's end is looked for: programs may write something behind it."""

DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, EOFError,
    ZeroDivisionError, AssertionError, NotImplementedError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise on damaged input: they leave their parsers' errors as they are."""


def decode(raw: Raw, *, draft: int | None = None) -> Image.Image:
    """Decode one image, wholly.

    Args:
        raw: What a reader gives.
        draft: A JPEG may come out smaller by 2, 4 or 8, as long as its short side keeps so many pixels. It is faster,
            and the pixels are others.

    Returns:
        The loaded image in its own mode, ready for open_clip's transform.

    Raises:
        ImageError: Empty, not an image, damaged, a decompression bomb, or nothing that can become RGB. The message
            is a short reason without the image's name, which only the caller knows.
    """
    if isinstance(raw, np.ndarray):
        return _from_array(raw)
    if isinstance(raw, bytes) and not raw:
        raise ImageError("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on metadata; what matters is whether the pixels come
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = _load(raw, draft)
    check(image)
    if isinstance(image.info.get("transparency"), bytes):
        # A palette with transparency: convert("RGB") would drop this entry itself, but with a warning for each image.
        del image.info["transparency"]
    return image


def opened(file: BinaryIO) -> Image.Image:
    """An image of which the header is read, by Pillow or, in a phone's format, by pillow-heif where it is installed."""
    if file.read(8)[4:] == b"ftyp":
        _learn_heif()
    file.seek(0)
    return Image.open(file)


@cache
def _learn_heif() -> None:
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1  # as many images are decoded at once as there are cores
        pillow_heif.register_heif_opener()


def reason(error: Exception) -> str:
    """Why an image is unreadable, by what reading or decoding it raised: never empty."""
    return str(error) or type(error).__name__


def jpeg_size(raw: bytes | np.ndarray | Image.Image) -> tuple[int, int] | None:
    """(height, width) of a whole JPEG in colour or grey, told from its header; None of anything else.

    What is None here may be an image for `decode`, or may be damaged: that is for `decode` to tell.
    """
    if not isinstance(raw, bytes) or not raw.startswith(_JPEG_BEGINS) or JPEG_ENDS not in raw[-TAIL:]:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a decompression bomb, too
            image = opened(io.BytesIO(raw))
            check(image)
    except (ImageError, UserWarning, Image.DecompressionBombError, UnidentifiedImageError, *DECODE_ERRORS):
        return None
    return (image.height, image.width) if image.format == "JPEG" and image.mode in ("RGB", "L") else None


def _load(raw: bytes | Image.Image, draft: int | None) -> Image.Image:
    tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # any library may have set it; half an image is not the image
    try:
        image = opened(io.BytesIO(raw)) if isinstance(raw, bytes) else raw
        # Pillow warns of it; but warnings are of the whole process, and another thread may have let them pass.
        if isinstance(raw, bytes) and image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError
        if draft is not None:
            image.draft(None, (draft, draft))
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"a decompression bomb: more than {Image.MAX_IMAGE_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(_no_image(raw)) from error
    except DECODE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "truncated" in reason:  # Pillow adds how many bytes its last block was short of, which says nothing
            raise ImageError("it is cut short: bytes are missing at its end") from error
        raise ImageError(f"cannot be decoded: {reason}") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
    return image


def _no_image(raw: bytes | Image.Image) -> str:
    """What is said of a file that Pillow does not know."""
    if not isinstance(raw, bytes):
        return "not an image, or its header is damaged"
    if raw[128:132] == b"DICM":
        return "DICOM is no picture: convert it to PNG, with its window applied, such as by `dcmj2pnm --write-png`"
    if raw.startswith(_TIFF_BEGINS):
        return (
            "a TIFF that is damaged or has bands that are no colours, as GeoTIFFs have: make RGB of three, such as by "
            "`gdal_translate -b 4 -b 3 -b 2 -ot Byte -scale`"
        )
    return f"not an image, or its header is damaged ({len(raw)} bytes)"


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ImageError(f"pixels are {pixels.dtype} {pixels.shape}: expected uint8 (H, W) or (H, W, 3)")
    if pixels.size == 0:
        raise ImageError(f"pixels are {pixels.shape}: there are none")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    check(image)
    return image


def check(image: Image.Image) -> None:
    """Refuse what open_clip's transform would fail on, or what would fill the memory there.

    Raises:
        ImageError: It is such; pixels are looked at in modes I and F alone.
    """
    short, long = sorted(image.size)
    if short == 0:
        raise ImageError(f"has no pixels ({image.width} x {image.height})")
    if long > MAX_ASPECT_RATIO * short:
        raise ImageError(
            f"is {image.width} x {image.height} pixels: one side is over {MAX_ASPECT_RATIO} times the other"
        )
    if image.mode.startswith(("I", "F")):
        _check_values(image)
    if not _becomes_rgb(image.mode):
        raise ImageError(f"pixels of mode {image.mode} cannot be resized and converted to RGB")


def _check_values(image: Image.Image) -> None:
    """Refuse what is no picture of 8 bits: Pillow's conversion clips at 255 and drops what is behind the point.

    open_clip's transform would see a white image, or of brightness from 0 to 1 a black one.
    """
    values = np.asarray(image)
    if image.mode == "F" and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise ImageError("holds fractions (mode F), of which no range is known: scale it to 8 bits")
    if values.min() < 0 or values.max() > 255:
        raise ImageError(f"holds more than 8 bits a pixel (mode {image.mode}): scale it to 8 bits")


@cache
def _becomes_rgb(mode: str) -> bool:
    """Whether Pillow can do to this mode what the transform does: resize, then convert."""
    try:
        Image.new(mode, (1, 1)).resize((2, 2), Image.Resampling.BICUBIC).convert("RGB")
    except (ValueError, OSError, KeyError):
        return False
    return True
