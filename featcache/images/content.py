"""What tells two image files apart, or that they are the same."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from featcache.ids import CONTENT_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image


def content_digest(raw: bytes | np.ndarray | Image) -> bytes:
    """The first 128 bits of the SHA-256 of a file's bytes; of pixels' bytes where there is no file."""
    content = raw if isinstance(raw, bytes) else np.ascontiguousarray(raw).tobytes()
    return hashlib.sha256(content).digest()[:CONTENT_BYTES]
