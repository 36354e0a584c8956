"""The engines by name: what `--engine` offers."""

from __future__ import annotations

from typing import Any

from featcache.errors import DataError
from featcache.named import Named

DEFAULT_ENGINE = "local"

ENGINES: Named[Any] = Named(
    "--engine",
    {
        DEFAULT_ENGINE: "featcache.extraction.engines.local_engine:LocalEngine",
        "ray": "featcache.extraction.engines.ray_engine:RayEngine",
    },
    DataError,
)
"""The list: an engine's name, and where its class, an `Engine`, is."""
