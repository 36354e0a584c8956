"""Whether two encoders give the same features, by what caches and saved heads record of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.origin import UNKNOWN

IDENTITY_KEYS = ("weights_sha256", "transform_sha256")
"""What decides it. Precision does not: it changes the last digits, not what a head has learnt."""


def first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first of `IDENTITY_KEYS` in which two encoder identities differ, or None if they agree.

    An encoder that nobody knows is the same as no other.
    """
    if UNKNOWN in (one.get("weights_sha256"), other.get("weights_sha256")):
        return "weights_sha256"
    return next((key for key in IDENTITY_KEYS if one.get(key) != other.get(key)), None)
