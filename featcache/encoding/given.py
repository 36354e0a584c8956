"""Images as people have them: paths, files' bytes, pictures of Pillow, arrays; each with an id and in any order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featcache.datasets.readers.bounded import MOST_BYTES, read_file
from featcache.errors import DataError, ImageError
from featcache.ids import CONTENT_BYTES
from featcache.images.content import content_digest
from featcache.images.decode import Raw, decode

if TYPE_CHECKING:
    from PIL.Image import Image

    from featcache.encoders.pixels import BytePixels

EXPECTED = "expected a path, a file's bytes, a picture of Pillow or an array (H, W) or (H, W, 3) uint8"


@dataclass(frozen=True)
class Unreadable:
    """What was asked for and is no image, with the reason: it is told in its turn, as a file that is damaged is."""

    id: str
    reason: str


@dataclass(frozen=True)
class Given:
    """One image on its way to a decoding process.

    Attributes:
        id: The path; where there is none, the place in the stream, counted from 0.
        image: A path, a file's bytes, a picture (H, W, 3) uint8 of the encoder's input size, or why there is none.
        content: Digest of the picture; empty where a file is still to be read.
    """

    id: str
    image: str | bytes | np.ndarray | ImageError
    content: bytes = b""


@dataclass(frozen=True)
class GivenReader:
    """Reads what was given.

    Attributes:
        most: Bytes of a file, at most.
    """

    most: int = MOST_BYTES

    def read(self, given: Given) -> bytes | np.ndarray:
        """A file's bytes, or a picture's pixels.

        Raises:
            DataError: It cannot be read; the reason.
        """
        image = given.image
        if isinstance(image, ImageError):
            raise image
        if not isinstance(image, str):
            return image
        try:
            return read_file(image, self.most)
        except OSError as error:
            raise DataError(error.strerror or str(error)) from error
        except ValueError as error:  # a path with a zero byte, and our own
            raise error if isinstance(error, DataError) else DataError(f"no path: {error}") from error


def taken(images: Iterable[Any], pixels: BytePixels) -> Iterator[Given]:
    """The images of a stream, ready for decoding processes: pictures are brought to the encoder's size here.

    Args:
        images: Paths, files' bytes, pictures of Pillow, arrays; anything else is told as unreadable.
        pixels: What the encoder makes of a picture.

    Raises:
        DataError: It is one image, and no stream of them.
    """
    refuse_one_image(images)
    for place, image in enumerate(images):
        yield _taken(image, str(place), pixels)


def refuse_one_image(images: Any) -> None:
    """Refuse one image where a stream is expected.

    Raises:
        DataError: It is one.
    """
    if isinstance(images, str | bytes | os.PathLike) or hasattr(images, "convert") or _one_array(images):
        raise DataError("one image was given, expected an iterable of images: give [image]")


def _one_array(images: Any) -> bool:
    return isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim in (2, 3)


def _taken(image: Any, place: str, pixels: BytePixels) -> Given:
    if isinstance(image, str | Path | os.PathLike):
        path = os.fspath(image)
        name = os.fsdecode(path)
        return Given(name, os.path.expanduser(name))
    if isinstance(image, bytes | bytearray | memoryview):
        return Given(place, bytes(image))
    if isinstance(image, Given):
        return image
    if isinstance(image, Unreadable):
        return Given(image.id, ImageError(image.reason))
    if not isinstance(image, np.ndarray) and not hasattr(image, "getbands"):
        return Given(place, ImageError(f"is {type(image).__name__}: {EXPECTED}"))
    return squared(image, place, pixels)


def squared(image: Raw, name: str, pixels: BytePixels, *, draft: int | None = None) -> Given:
    """An image decoded and brought to the encoder's size, here and now.

    Args:
        image: A file's bytes, a picture of Pillow, or an array.
        name: What it is called.
        pixels: What the encoder makes of a picture.
        draft: Pixels that a JPEG's short side keeps, as for `decode`.
    """
    try:
        picture = pixels.array(decode(image, draft=draft))
        return Given(name, picture, content_digest(image) if isinstance(image, bytes) else picture_digest(image))
    except ImageError as error:
        return Given(name, error)


def picture_digest(picture: np.ndarray | Image) -> bytes:
    """What tells two pictures apart that are no files: their pixels, and how these are to be understood."""
    if isinstance(picture, np.ndarray):
        how: tuple[Any, ...] = (picture.dtype.str, picture.shape)
    else:
        how = (picture.mode, picture.size, picture.getpalette(), repr(picture.info.get("transparency")))
    return hashlib.sha256(repr(how).encode() + content_digest(picture)).digest()[:CONTENT_BYTES]
