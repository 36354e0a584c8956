"""The encoder that a cache or a saved head names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.encoders.device import resolve_device
from featcache.encoders.encoder import Encoder


def encoder_of(identity: Mapping[str, Any], *, device: str = "auto", precision: str | None = None) -> Encoder:
    """Load the encoder of that identity; whether it is still the same one is for the caller to compare.

    Args:
        identity: As `Encoder.identity` gave it.
        device: Where it runs.
        precision: Of the image tower; None: the one that it had, but that a CPU stands in for a GPU's fp16 with fp32.

    Raises:
        ModelError: It cannot be loaded.
    """
    if precision is None:
        on_cpu = resolve_device(device).type == "cpu"
        precision = "fp32" if on_cpu and identity["precision"] == "fp16" else identity["precision"]
    return Encoder.load(identity["architecture"], identity["pretrained"], device=device, precision=precision)
