"""The tables for the screen."""

from __future__ import annotations

from adapters.bench.formats.cells import BEST, cells, header
from adapters.bench.summary import Block
from adapters.bench.tables import Tables
from adapters.selection.regimes import REGIMES
from featcache.show.page import Page, Styled, Table


def terminal(tables: Tables) -> Page:
    """Title, tables and notes, the best in bold with a star; a regime whose numbers are no honest estimate in red."""
    select = tables.facts["select"]
    heading = Styled(tables.title, "bold", shouts=REGIMES[select].shouted if select in REGIMES else "")
    several = len(tables.blocks) > 1
    return Page([heading, *(_table(block, tables.seeds, titled=several) for block in tables.blocks), *tables.notes])


def _table(block: Block, seeds: int, *, titled: bool) -> Table:
    columns = header(block)
    rows = cells(block, seeds, bold=lambda text: Styled(f"{text} {BEST}", "bold"), escape=str)
    return Table(columns, rows, title=block.title if titled else "", numbers=columns[2:])
