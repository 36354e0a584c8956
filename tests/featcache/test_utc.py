"""Times are UTC in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from featcache.utc import now


@pytest.mark.parametrize(("timespec", "length"), [("seconds", 25), ("milliseconds", 29)])
def test_the_time_is_utc_to_the_digits_asked_for(timespec: str, length: int) -> None:
    written = now(timespec=timespec)
    assert len(written) == length
    assert abs(datetime.fromisoformat(written) - datetime.now(UTC)) < timedelta(minutes=1)
