"""Reading on behind URLs: a request costs more than an image, and images are read in the order in which they lie."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import NamedTuple

from featcache.datasets.readers.remote import read_range
from featcache.places.folder import is_url

BLOCK = 8 * 2**20
"""Bytes asked for at once behind a URL."""
NEAR = 2**20
"""Bytes between two reads, at most, for the second to be the next: what lies between two images of a tar."""


class _Held(NamedTuple):
    """Bytes of a file from `start` on; where the last read ended."""

    location: str
    start: int
    content: bytes
    last: int


@dataclass(frozen=True)
class ReadAhead:
    """Parts of files, those behind URLs in blocks once a part is read that lies behind the one before.

    What is held is a block in each process, and is not pickled.
    """

    _held: dict[int, _Held] = field(default_factory=dict, init=False, repr=False, compare=False)

    def read(self, location: str, start: int, size: int) -> bytes:
        """As `read_range`."""
        if not is_url(location):
            return read_range(location, start, size)
        held = self._held.get(os.getpid(), _Held("", 0, b"", 0))
        if location != held.location or not held.start <= start <= held.start + len(held.content) - size:
            is_next = location == held.location and 0 <= start - held.last <= NEAR
            content = read_range(location, start, max(size, BLOCK) if is_next else size, at_least=size)
            held = _Held(location, start, content, start)
        self._held[os.getpid()] = held._replace(last=start + size)
        at = start - held.start
        return held.content[at : at + size]

    def __reduce__(self) -> tuple[type[ReadAhead], tuple[()]]:
        return ReadAhead, ()
