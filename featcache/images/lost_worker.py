"""A decoding process that was killed, told in a line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from featcache.errors import DataError

INTERRUPTION = 0.2
"""Seconds in which what ended a decoding process comes here too, if it was sent to all of the run."""


@contextmanager
def explain_lost_worker() -> Iterator[None]:
    """Turn into a line what torch says of a decoding process that was killed.

    It says so where its part is asked for, or wherever the main thread is when the system tells that it ended.

    Raises:
        DataError: One was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        time.sleep(INTERRUPTION)
        message = "a decoding process was killed, most likely for want of memory; "
        raise DataError(message + "type --workers 1 or 0") from error
