"""What a run waits for: it says what bounds its speed, since that is what its user can change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

READING, DECODING, DEVICE, WRITING = "reading", "decoding", "the encoder", "writing"


class Waits:
    """Seconds that the process which drives a run spent waiting, by cause."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((READING, DECODING, DEVICE, WRITING), 0.0)

    def clear(self) -> None:
        """Begin again."""
        self.seconds.update(dict.fromkeys(self.seconds, 0.0))

    @contextmanager
    def on(self, cause: str) -> Iterator[None]:
        """Count the time inside as waiting for `cause`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[cause] += time.perf_counter() - began

    def divide(self, reading: float, decoding: float, began: float) -> None:
        """Since `began`, a part was waited for that took so many seconds to read and to decode."""
        waited, spent = time.perf_counter() - began, max(reading + decoding, 1e-9)
        self.seconds[READING] += waited * reading / spent
        self.seconds[DECODING] += waited * decoding / spent

    @property
    def bound(self) -> str:
        """What takes more than half of all waiting; empty where nothing does."""
        cause, most = max(self.seconds.items(), key=lambda item: item[1])
        return cause if most > 0.5 * sum(self.seconds.values()) else ""
