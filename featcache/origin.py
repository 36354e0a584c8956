"""What is known of where a cache's embeddings come from, and how that is told beside every number made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"
"""What a record says where nobody knows: `weights_sha256`, `device` and so on."""
IMPORTED = "imported"
"""What stands for a pretrained tag where the weights are unknown; and the key of a manifest's provenance that says how
embeddings came here which were made elsewhere."""
SAID = "said"
"""An encoder that was named when embeddings were imported: nothing proves that it made them."""


TEXT = "text"
"""Of an identity: false where the encoder encodes images alone; absent where it has text."""


def has_text(encoder: Mapping[str, Any]) -> bool:
    """Whether an encoder has text."""
    return bool(encoder.get(TEXT, True))


def unknown_encoder(dim: int) -> dict[str, Any]:
    """What an identity says of an encoder that nobody named; its embeddings have D numbers."""
    return {
        "architecture": UNKNOWN,
        "pretrained": IMPORTED,
        "weights_sha256": UNKNOWN,
        "quick_gelu": None,
        "image_size": None,
        "dim": dim,
        "transform": UNKNOWN,
        "transform_sha256": UNKNOWN,
        "precision": UNKNOWN,
        "origin": UNKNOWN,
    }


def is_known(encoder: Mapping[str, Any]) -> bool:
    """Whether anybody said which encoder it is."""
    return bool(encoder["weights_sha256"] != UNKNOWN)


def imported(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the embeddings came here: `file`, `normalised`, `not_known` and more; None where they were made here."""
    found: Mapping[str, Any] | None = manifest["provenance"].get(IMPORTED)
    return found


def made_by(manifest: Mapping[str, Any]) -> str:
    """The command that made the cache, and mends it."""
    return "featcache import" if imported(manifest) else "featcache extract"


def caveat(manifest: Mapping[str, Any]) -> str:
    """What must be known of every number made of these embeddings; empty where they were made here.

    It goes where numbers go, into cards and pages that are sent, so that it names the file without its place.
    """
    found = imported(manifest)
    if found is None:
        return ""
    named = ", by an encoder that was named then and that nothing proves" if found["encoder"] == SAID else ""
    unknown = f" (not known: {', '.join(found['not_known'])})" if found["not_known"] else ""
    unit = ", normalised before they came" if found["normalised"] else ""
    return f"embeddings imported from {Path(found['file']).name}{named}{unknown}{unit}"
