"""The tables as CSV: one line a number."""

from __future__ import annotations

import csv
import io

from adapters.bench.tables import Tables
from featcache.show.spreadsheet import defused


def summary_csv(tables: Tables) -> str:
    """One line a number, fractions; protocol and regime stand in every line."""
    out = io.StringIO(newline="")
    names = ["table", "method", "column", "shots", "mean", "std", "seeds", "best", "tied", "how", "ece", "seconds_fit"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*tables.facts, *names])
    for block in tables.blocks:
        for line in block.lines:
            for column, shots, e in zip(block.columns, block.shots, line.entries, strict=True):
                if e is not None:
                    spread = "" if e.std is None else e.std
                    how = " ".join(e.how)
                    scores = [e.mean, spread, e.seeds, e.best, e.tied, how, line.ece, line.seconds_fit]
                    told = [tables.facts["protocol"], line.select, block.title, line.method, column]
                    writer.writerow([*map(defused, told), shots, *scores])
    return out.getvalue()
