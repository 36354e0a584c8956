"""Many methods side by side on the same few-shot draws, under one protocol and one selection regime.

    results = adapters.bench.run("all", caches=[cache], shots=[1, 4, 16], seeds=[1, 2, 3])
    print(results.text("markdown"))
    results.plot("accuracy.svg")

`learning.py` fits and scores one head, `protocols.py` and `incremental.py` say on which classes and rows, `cells.py` is
the plan, `store.py` what is kept on disk; `summary.py`, `significance.py`, `formats.py` and `plot.py` show it.
"""

from __future__ import annotations

from adapters.bench.benchmark import run
from adapters.bench.protocols.settings import PROTOCOLS
from adapters.bench.results import FORMATS, Results

__all__ = ["FORMATS", "PROTOCOLS", "Results", "run"]
