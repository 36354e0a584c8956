"""The tables as GitHub's Markdown."""

from __future__ import annotations

from adapters.bench.formats.cells import cells, header
from adapters.bench.tables import Tables


def markdown(tables: Tables) -> str:
    """GitHub's tables, the best in bold."""
    parts = [f"**{tables.title}**"]
    for block in tables.blocks:
        rows = cells(block, tables.seeds, bold=lambda text: f"**{text}**", escape=lambda text: text.replace("|", "\\|"))
        lines = [header(block), ["---", "---", *["---:"] * (len(block.columns) + 4)], *rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts += [f"{block.title}:", table] if len(tables.blocks) > 1 else [table]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in tables.notes)]) + "\n"
