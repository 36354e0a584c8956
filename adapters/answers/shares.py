"""Shares that are asked for: of known images that may be refused, of cases that sets must hold."""

from __future__ import annotations

from adapters.errors import AdapterError
from adapters.parameters import is_number


def check_shares(reject: float | None, coverage: float | None) -> None:
    """Refuse shares that are none, before any work.

    Raises:
        AdapterError: names the option.
    """
    for name, share, such_as in (("reject", reject, 0.05), ("coverage", coverage, 0.9)):
        if share is not None and not (is_number(share) and 0 < share < 1):
            raise AdapterError(f"--{name} {share} given; expected a share between 0 and 1, such as --{name} {such_as}")
