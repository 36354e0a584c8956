"""Accuracy against shots: one line a method with a band of one standard deviation, zero-shot dashed.

Every line is named at its end, in its own colour, so that eighteen of them need no legend.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters.bench.summary import Block, Entry, Line
from adapters.errors import AdapterError, RunError

SUFFIXES = (".svg", ".png")
_MARKERS = "osD^vP"
_COLOURS = 12  # hues; a method beyond them takes the next marker and line style with a hue again
_STYLES = ("-", (0, (5, 1.5)))
_LABEL_HEIGHT = 0.036  # of the height of the axes


def draw(blocks: Sequence[Block], title: str, path: Path) -> Path:
    """Write the plot of a bench.

    Where a table's columns are shots that table is drawn, else the first column of the tables, over their shots.

    Args:
        blocks: the tables.
        title: stands above the plot.
        path: where to; `.svg` or `.png`.

    Raises:
        AdapterError: another suffix, or nothing to draw.
        RunError: the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise AdapterError(f"--plot {path} given; expected a file that ends in {' or '.join(SUFFIXES)}")
    panels = _panels(blocks)
    if not panels:
        raise AdapterError("there is nothing to plot: no cell of the bench could be computed")
    figure = Figure(figsize=(8.6 * len(panels), 6.2), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, what, series) in zip(axes, panels.items(), strict=True) if False else _pairs(axes, panels):
        _panel(axis, series)
        axis.set_title(name, loc="left", fontsize=10)
        axis.set_ylabel(f"{what}, %")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    try:
        with mpl.rc_context({"svg.hashsalt": "featcache", "svg.fonttype": "none"}):  # the same file every time
            figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror or error}): give another --plot") from error
    return path
