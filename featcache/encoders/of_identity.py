"""The encoder that a cache or a saved head names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.encoders.device import resolve_device
from featcache.encoders.encoder import EXACT, PRECISION_BY, Encoder
from featcache.errors import ModelError
from featcache.origin import is_known
from featcache.records import Malformed, checked, parse_json

MOVED = "if it has moved, type --model DIR or --pretrained FILE"


def encoder_of(
    identity: Mapping[str, Any],
    *,
    device: str = "auto",
    precision: str | None = None,
    model: str | None = None,
    pretrained: str | None = None,
    keep: bool = False,
) -> Encoder:
    """Load the encoder of that identity; whether it is still the same one is for the caller to compare.

    Args:
        identity: As `Encoder.identity` gave it.
        device: Where it runs.
        precision: Of the image tower; None: the one that it had, but that a CPU stands in for a GPU's fp16 with fp32.
        model: What it is called here, where it has moved: a directory, or another name for it.
        pretrained: Its weights here, likewise: a file.
        keep: Whether to give what comes before the last projection too.

    Raises:
        ModelError: It cannot be loaded, or its transform is not one.
    """
    if not is_known(identity) and model is not None:
        return Encoder.load(model, pretrained, device=device, precision=precision or "auto", keep=keep)
    if precision is None:
        on_cpu = resolve_device(device).type == "cpu"
        precision = "fp32" if on_cpu and identity["precision"] == "fp16" else identity["precision"]
    try:
        decode = checked(parse_json(identity["transform"]), dict[str, Any]).get("decode", EXACT)
    except Malformed as error:
        raise ModelError(f"the transform of {identity['architecture']} is damaged in the record: {error}") from error
    how: dict[str, Any] = {"device": device, "precision": precision, "decode": decode, "keep": keep}
    if model is None and pretrained is None:
        return Encoder.load(identity["architecture"], identity["pretrained"], **how)
    # A file of weights does not say with which activation they were trained; its tag did.
    return Encoder.load(model or identity["architecture"], pretrained, quick_gelu=identity.get("quick_gelu"), **how)


def moved_encoder(
    identity: Mapping[str, Any],
    whose: str,
    *,
    device: str,
    model: str | None,
    pretrained: str | None,
    precision: str | None = None,
    keep: bool = False,
) -> Encoder:
    """`encoder_of`, whose error says what to type where the files have moved.

    Args:
        identity: As `Encoder.identity` gave it.
        whose: What it is the encoder of, such as `run clip-4shot`.
        device: Where it runs.
        model: Its directory now, if it was given.
        pretrained: Its file of weights now, likewise.
        precision: Of the image tower, as for `encoder_of`.
        keep: Likewise.

    Raises:
        ModelError: It cannot be loaded, or nobody knows which it is.
    """
    if not is_known(identity) and model is None:
        raise ModelError(
            f"{whose} is of imported embeddings, and nobody said which encoder made them: type --model NAME (and "
            "--pretrained) to name it"
        )
    try:
        return encoder_of(identity, device=device, precision=precision, model=model, pretrained=pretrained, keep=keep)
    except ModelError as error:
        if model is not None or pretrained is not None:
            raise
        raise ModelError(f"the encoder of {whose} cannot be loaded ({error}): {MOVED}") from error


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
