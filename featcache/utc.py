"""The time, as it is written down."""

from __future__ import annotations

from datetime import UTC, datetime


def now(*, timespec: str = "seconds") -> str:
    """The time in UTC as ISO 8601, to the second or, with `timespec="milliseconds"`, finer."""
    return datetime.now(UTC).isoformat(timespec=timespec)
