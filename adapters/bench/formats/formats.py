"""The formats by name: what `--format` offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from adapters.errors import AdapterError
from featcache.named import Named

if TYPE_CHECKING:
    from adapters.bench.tables import Tables
    from featcache.show.page import Page

ON_SCREEN = "table"

FORMATS: Named[Callable[[Tables], Page | str]] = Named(
    "--format",
    {
        ON_SCREEN: "adapters.bench.formats.terminal:terminal",
        "markdown": "adapters.bench.formats.markdown:markdown",
        "csv": "adapters.bench.formats.summary_csv:summary_csv",
        "latex": "adapters.bench.formats.latex:latex",
        "json": "adapters.bench.formats.whole_json:whole_json",
    },
    AdapterError,
)
"""The list: a format's name, and the function that writes it; all but the one for the screen give text."""
