"""The tables as GitHub's Markdown."""

from __future__ import annotations

from adapters.bench.formats.cells import cells, header
from adapters.bench.tables import Tables
from featcache.show.markdown import escaped


def markdown(tables: Tables) -> str:
    """GitHub's tables, the best in bold."""
    parts = [f"**{tables.title}**"]
    for block in tables.blocks:
        rows = cells(block, tables.seeds, bold=lambda text: f"**{text}**", escape=escaped)
        lines = [list(map(escaped, header(block))), ["---", "---", *["---:"] * (len(block.columns) + 4)], *rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts += [f"{escaped(block.title)}:", table] if len(tables.blocks) > 1 else [table]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in tables.notes)]) + "\n"
