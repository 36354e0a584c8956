"""All that a bench found as JSON."""

from __future__ import annotations

import json

from adapters.bench.tables import Tables


def whole_json(tables: Tables) -> str:
    """One object: settings, tables, notes and tidy rows."""
    return json.dumps(tables.content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
