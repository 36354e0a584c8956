"""The encoder that a cache or a saved head names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.encoders.device import resolve_device
from featcache.encoders.encoder import EXACT, PRECISION_BY, Encoder
from featcache.errors import ModelError
from featcache.records import Malformed, checked, parse_json


def encoder_of(identity: Mapping[str, Any], *, device: str = "auto", precision: str | None = None) -> Encoder:
    """Load the encoder of that identity; whether it is still the same one is for the caller to compare.

    Args:
        identity: As `Encoder.identity` gave it.
        device: Where it runs.
        precision: Of the image tower; None: the one that it had, but that a CPU stands in for a GPU's fp16 with fp32.

    Raises:
        ModelError: It cannot be loaded, or its transform is not one.
    """
    if precision is None:
        on_cpu = resolve_device(device).type == "cpu"
        precision = "fp32" if on_cpu and identity["precision"] == "fp16" else identity["precision"]
    try:
        decode = checked(parse_json(identity["transform"]), dict[str, Any]).get("decode", EXACT)
    except Malformed as error:
        raise ModelError(f"the transform of {identity['architecture']} is damaged in the record: {error}") from error
    architecture, pretrained = identity["architecture"], identity["pretrained"]
    return Encoder.load(architecture, pretrained, device=device, precision=precision, decode=decode)


def at_precision(identity: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """An identity with the precision of another, and the way it was applied there."""
    of_other = {key: other[key] for key in ("precision", PRECISION_BY) if key in other}
    return {key: value for key, value in identity.items() if key not in ("precision", PRECISION_BY)} | of_other


def spelled_out(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity with what older versions left unsaid: their half precision was a cast of each operation."""
    said = dict(identity)
    if said["precision"] != "fp32":
        said.setdefault(PRECISION_BY, "autocast")
    return said
