"""What a run waits for: it says what bounds its speed, since that is what its user can change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

STARTING, READING, DECODING, COPYING, DEVICE, WRITING = (
    "starting",
    "reading",
    "decoding",
    "copying",
    "the encoder",
    "writing",
)


class Waits:
    """Seconds that the process which drives a run spent waiting, by cause."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((STARTING, READING, DECODING, COPYING, DEVICE, WRITING), 0.0)

    @contextmanager
    def on(self, cause: str) -> Iterator[None]:
        """Count the time inside as waiting for `cause`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[cause] += time.perf_counter() - began

    def divide(self, waited: float, spent: Mapping[str, float]) -> None:
        """Something was waited for so long; divided as those that made it spent their time."""
        total = sum(spent.values())
        for cause, seconds in spent.items():
            self.seconds[cause] += waited * seconds / total if total else 0.0


def bound_by(waited: Mapping[str, float]) -> str:
    """What takes more than half of all seconds waited since the start; empty where nothing does."""
    running = {cause: seconds for cause, seconds in waited.items() if cause != STARTING}
    cause, most = max(running.items(), key=lambda item: item[1], default=("", 0.0))
    return cause if most > 0.5 * sum(running.values()) else ""
