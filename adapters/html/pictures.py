"""Thumbnails of a data set's images, as parts of a page: few, small, and each once however often it is shown.

An image that cannot be read has no picture and is counted; a page shows its id in a grey box. So does what comes after
the page has as many pictures as it may: a report is to be sent by mail.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from adapters.joining.places import placed_at
from featcache.errors import DataError, FeatcacheError, in_a_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featcache.datasets.dataset import Reader

SIDE = 112
"""Pixels of a thumbnail's longer side, at most; images that are smaller stay as they are."""
QUALITY = 60
MOST = 360
"""Thumbnails of a page."""
MOST_LETTERS = 2_500_000
"""Letters that they are written with, all together."""
PIXELATED = 48
"""Pixels of the longer side below which a browser is to show them as squares."""


class Picture(NamedTuple):
    """An image on a page: `key` names its thumbnail; None: there is none, and the id stands in its place.

    `note` is what is said of it where little room is, such as its label.
    """

    id: str
    key: str | None
    note: str = ""


class Thumbnail(NamedTuple):
    """A small picture: its data URI and its size in pixels."""

    uri: str
    width: int
    height: int

    @property
    def pixelated(self) -> bool:
        """Whether it is so small that its pixels are to be seen."""
        return max(self.width, self.height) < PIXELATED


class Pictures:
    """The thumbnails of one page, made when they are first asked for.

    Args:
        reader: of the data set; None: its images are not to be had.
        reason: why not.

    Attributes:
        missing: images that were asked for and could not be read.
        left_out: images that came after the page had as many pictures as it may.
    """

    def __init__(self, reader: Reader | None, reason: str = "") -> None:
        self._reader, self.reason = reader, reason
        self._keys: dict[str, str | None] = {}
        self._made: dict[str, Thumbnail] = {}
        self._letters = 0
        self.missing = self.left_out = 0

    @property
    def made(self) -> Mapping[str, Thumbnail]:
        """All so far, by key."""
        return self._made

    @property
    def told(self) -> str:
        """What must be said of images that have no picture; empty where all have one."""
        images = "1 image" if self.missing == 1 else f"{self.missing:,} images"
        missing = f"{images} could not be read, and a grey box stands for each: {self.reason}" if self.missing else ""
        room = f"{self.left_out:,} more have no picture: a page has room for no more" if self.left_out else ""
        return "; ".join(filter(None, [missing, room]))

    @property
    def full(self) -> bool:
        """Whether the page has as many pictures as it may."""
        return len(self._made) >= MOST or self._letters >= MOST_LETTERS

    def of(self, image_id: str, note: str = "") -> Picture:
        """The image of that id."""
        if image_id not in self._keys:
            self._keys[image_id] = self._make(image_id)
        return Picture(image_id, self._keys[image_id], note)

    def unread(self, image_id: str) -> Picture:
        """An image that is known to be unreadable: nobody tries."""
        return Picture(image_id, None)

    def _make(self, image_id: str) -> str | None:
        if self.full:
            self.left_out += 1
            return None
        try:
            made = self._read(image_id)
        # Whatever stands between a reader and its images, from a file that is gone to a library's own error on a
        # damaged archive: a report is worth reading without one picture.
        except Exception as error:
            self.missing += 1
            self.reason = self.reason or f"{image_id}: {in_a_line(error) or type(error).__name__}"
            return None
        key = f"t{len(self._made)}"
        self._made[key] = made
        self._letters += len(made.uri)
        return key

    def _read(self, image_id: str) -> Thumbnail:
        from featcache.images.decode import decode

        if self._reader is None:
            raise DataError(self.reason)
        image = decode(self._reader.read(image_id), draft=SIDE).convert("RGB")
        image.thumbnail((SIDE, SIDE))
        content = io.BytesIO()
        image.save(content, "WEBP", quality=QUALITY)
        return Thumbnail(f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}", *image.size)


def pictures_at(cache: str) -> Pictures:
    """Of the data set of the cache at that place, which may be gone; of joined caches that of the first."""
    import featcache

    try:
        placed = placed_at(cache)
        return pictures_of(featcache.open(placed[0].location if placed else cache).manifest)
    except FeatcacheError as error:
        return Pictures(None, in_a_line(error))


def pictures_of(manifest: Mapping[str, Any]) -> Pictures:
    """Of the data set of a cache, which is listed again where it was; nothing is downloaded.

    Args:
        manifest: the cache's.
    """
    from featcache.extraction.request import listed_again

    try:
        return Pictures(listed_again(manifest, download=False).reader)
    # As above; a data set may be in another place, or be read by a library that is not there any more.
    except DataError as error:
        place = Path(manifest["provenance"]["request"]["dataset"])
        gone = place.is_absolute() and not place.exists()
        return Pictures(None, f"{place} is gone: move it back, and make the page again" if gone else in_a_line(error))
    except FeatcacheError as error:
        return Pictures(None, in_a_line(error))
    except Exception as error:
        return Pictures(None, f"its data set cannot be listed: {in_a_line(error) or type(error).__name__}")
