"""What came of images that were seen together, for a page."""

from __future__ import annotations

from typing import Any

from adapters.show.numbers import percent
from featcache.show.page import Styled

SHOWN = 5
"""Classes whose share is shown; --json has all."""


def together_named(name: str, together: dict[str, Any] | None) -> str:
    """A head's name with what must be said beside its numbers; its name alone where each image stood by itself."""
    return name if together is None else Styled(f"{name}, {together['said']}", "bold", shouts=together["said"])


def together_told(together: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The largest class frequencies, and where the head's mistakes were seen."""
    if together is None or together["shares"] is None:
        return []
    largest = sorted(together["shares"].items(), key=lambda pair: -pair[1])
    told = ", ".join(f"{name} {percent(share)}" for name, share in largest[:SHOWN])
    more = f" and {len(largest) - SHOWN:,} more classes" if len(largest) > SHOWN else ""
    mistakes = f"; mistakes seen on {together['mistakes_on']}" if "mistakes_on" in together else ""
    return [("frequencies", told + more + mistakes)]
