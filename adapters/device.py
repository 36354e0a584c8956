"""Where heads compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.errors import AdapterError
from featcache.errors import ModelError

if TYPE_CHECKING:
    import torch


def resolve_device(device: str) -> torch.device:
    """The torch device of a name, by the rule that encoders follow.

    Raises:
        AdapterError: an unknown device, or one that this machine lacks.
    """
    from featcache.encoders.device import resolve_device

    try:
        return resolve_device(device)
    except ModelError as error:
        raise AdapterError(str(error)) from error
