"""The protocols by name: what `--protocol` offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.errors import AdapterError
from featcache.named import Named

if TYPE_CHECKING:
    from adapters.bench.protocols.protocol import Protocol

DEFAULT_PROTOCOL = "few-shot"

PROTOCOLS: Named[Protocol] = Named(
    "--protocol",
    {
        DEFAULT_PROTOCOL: "adapters.bench.protocols.few_shot:FEW_SHOT",
        "base-to-new": "adapters.bench.protocols.base_to_new:BASE_TO_NEW",
        "cross-dataset": "adapters.bench.protocols.cross_dataset:CROSS_DATASET",
        "incremental": "adapters.bench.protocols.incremental:INCREMENTAL",
    },
    AdapterError,
)
"""The list: a protocol's name, and where its record is."""
