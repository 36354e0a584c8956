"""What a bench found: rows, table, plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from adapters.bench.cells import options_of
from adapters.bench.formats.formats import FORMATS, ON_SCREEN
from adapters.bench.notes import notes, title
from adapters.bench.protocols.settings import Settings
from adapters.bench.store import Record
from adapters.bench.summary import Block, CellName, summarise
from adapters.bench.tables import Tables
from adapters.errors import AdapterError


@dataclass(frozen=True, eq=False)
class Results:
    """The cells of one bench.

    Attributes:
        folder: where they are kept.
        settings: what they have in common.
        methods: zero-shot first.
        seeds: all that were asked for.
        cells: the records of every cell that could be computed, by cache, shots, method and seed.
        failures: why the others could not, a line each.
        ran: cells computed by this run; `found` cells that were there already.
    """

    folder: Path
    settings: Settings
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: Mapping[CellName, list[Record]]
    failures: tuple[str, ...]
    ran: int
    found: int

    @cached_property
    def records(self) -> list[Record]:
        """All records, in the order of the plan."""
        return [record for parts in self.cells.values() for record in parts]

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The tables."""
        return summarise(self.cells, self.methods, self.seeds)

    @cached_property
    def title(self) -> str:
        """What the tables are of, with the selection regime."""
        return title(self.settings, self.records, self.seeds)

    @cached_property
    def notes(self) -> list[str]:
        """What must be read with them."""
        return notes(self.settings, self.records, self.blocks, self.seeds, self.failures)

    @property
    def tables(self) -> Tables:
        """The tables with all that stands around them."""
        facts = {"protocol": self.settings.protocol, "select": self.settings.options()["select"]}
        return Tables(self.title, self.blocks, self.notes, len(self.seeds), facts, self.to_json())

    def table(self) -> RenderableType:
        """The tables for `rich`."""
        return FORMATS[ON_SCREEN](self.tables)

    def text(self, format: str) -> str:
        """The tables as text (`adapters.bench.formats.formats`).

        Raises:
            AdapterError: no such format, or the one for the screen.
        """
        shown = FORMATS[format](self.tables)
        if not isinstance(shown, str):
            raise AdapterError(f"the format {format} is for the screen; expected another of {', '.join(FORMATS)}")
        return shown

    def to_json(self) -> dict[str, Any]:
        """Settings, tables, notes and tidy rows as JSON-able values; accuracies and ECE are fractions."""
        return {
            **options_of(self.settings),
            "title": self.title,
            "methods": list(self.methods),
            "seeds": list(self.seeds),
            "tables": [_block_json(block) for block in self.blocks],
            "notes": self.notes,
            "failures": list(self.failures),
            "cells": {"computed": self.ran, "found": self.found, "failed": len(self.failures)},
            "out": str(self.folder),
            "rows": [asdict(record.row) for record in self.records],
        }

    def plot(self, path: Path | str) -> Path:
        """Draw accuracy against shots to an SVG or PNG file; see `adapters.bench.plot`."""
        from adapters.bench.plot import draw

        return draw(self.blocks, self.title, Path(path))


def _block_json(block: Block) -> dict[str, Any]:
    def entries(line: Any) -> list[dict[str, Any]]:
        named = zip(block.columns, block.shots, line.entries, strict=True)
        return [{"column": column, "shots": shots, **asdict(entry)} for column, shots, entry in named if entry]

    lines = [
        {**{name: getattr(line, name) for name in ("method", "select", "ece", "seconds_fit")}, "entries": entries(line)}
        for line in block.lines
    ]
    return {
        "group": block.group,
        "title": block.title,
        "columns": list(block.columns),
        "cost_of": block.cost,
        "lines": lines,
    }
