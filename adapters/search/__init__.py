"""A grid of hyper-parameters over shots and seeds, trained as one program and chosen honestly.

    from adapters.search import run
    found = run("clip", {"alpha": [0.2, 0.4, 0.6], "lr": [1e-3, 1e-2]}, cache=cache, shots=[1, 16], seeds=[1, 2, 3])
    found.table(); found.best; found.rows

`grid.py` says which heads there are, `draws.py` on which shots they learn and on which rows they are compared,
`trials.py` and `halving.py` train and score them, `choice.py` takes one; `results.py`, `files.py`, `table.py` and
`picture.py` show what was found.
"""

from __future__ import annotations

from adapters.search.results import Results
from adapters.search.search import run

__all__ = ["Results", "run"]
