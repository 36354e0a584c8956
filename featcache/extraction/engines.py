"""The engines by name: what `--engine` offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featcache.errors import DataError
from featcache.named import Named

if TYPE_CHECKING:
    from featcache.extraction.engine import Engine

DEFAULT_ENGINE = "local"

ENGINES: Named[type[Engine]] = Named(
    "--engine",
    {
        DEFAULT_ENGINE: "featcache.extraction.local_engine:LocalEngine",
    },
    DataError,
)
"""The list: an engine's name, and where its class is."""
