"""What tells two image files apart, or that they are the same."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from featcache.datasets.readers.in_time import in_time
from featcache.errors import DataError
from featcache.ids import CONTENT_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image

    from featcache.datasets.dataset import Reader


def content_of(reader: Reader, image_id: str) -> bytes:
    """The digest of an image's file; empty where it cannot be read."""
    try:
        return content_digest(in_time(reader.read, image_id))
    except (DataError, OSError):
        return b""


def content_digest(raw: bytes | np.ndarray | Image) -> bytes:
    """The first 128 bits of the SHA-256 of a file's bytes; of pixels' bytes where there is no file."""
    content = raw if isinstance(raw, bytes) else np.ascontiguousarray(raw).tobytes()
    return hashlib.sha256(content).digest()[:CONTENT_BYTES]
