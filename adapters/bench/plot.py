"""Accuracy against shots: one line a method with a band of one standard deviation, zero-shot dashed.

Every line is named at its end in its own colour, with a thin leader where names had to make room for each other, so
that many of them need no legend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters.bench.summary import Block, Entry
from adapters.errors import AdapterError
from adapters.methods import BASELINE
from adapters.show.plotting import check_suffix, name_ends, write_figure

# Dark enough to be read as text on white; neighbours in this order are far apart.
_COLOURS = ["#1f6fb4", "#d62728", "#2c962c", "#8e5cc0", "#e06c00", "#7a4b40", "#d64fa8", "#0f93a6", "#858600"]
_COLOURS += ["#00327a", "#7f0000", "#004d33", "#5e0f7f", "#b8860b", "#5a6b7a", "#ff4d6d", "#0077ff", "#3f9f7f"]
_MARKERS = "osD^vPX"

Series = dict[str, list[tuple[int, Entry]]]


def draw(blocks: Sequence[Block], title: str, path: Path) -> Path:
    """Write the plot of a bench: a panel for each cache, and for their average.

    Where a table's columns are not shots, its first column is drawn: the one that sums the protocol up.

    Args:
        blocks: the tables.
        title: stands above the plot.
        path: where to; `.svg` or `.png`.

    Raises:
        AdapterError: another suffix, or nothing to draw.
        RunError: the file cannot be written.
    """
    check_suffix(path)
    panels: defaultdict[tuple[str, str], Series] = defaultdict(dict)
    for block in blocks:
        several = len(set(block.shots)) == len(block.shots)  # one column a number of shots
        shown = range(len(block.columns)) if several else range(1)
        for line in block.lines:
            points = [(block.shots[i], line.entries[i]) for i in shown]
            what = "test accuracy" if several else f"test accuracy, {block.columns[0]}"
            panels[block.group, what].setdefault(line.method, []).extend(
                (shots, entry) for shots, entry in points if entry is not None
            )
    if not panels:
        raise AdapterError("there is nothing to plot: no cell of the bench could be computed")
    figure = Figure(figsize=(8.6 * len(panels), 6.2), dpi=150, layout="constrained")
    axes: npt.NDArray[np.object_] = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, ((name, what), series) in zip(axes, panels.items(), strict=True):
        _panel(axis, series)
        axis.set_ylabel(f"{what} (%)")
        if len(panels) > 1:
            axis.set_title(name, loc="left", fontsize=10)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return write_figure(figure, path)


def _panel(axis: Axes, series: Mapping[str, list[tuple[int, Entry]]]) -> None:
    ends: dict[str, tuple[float, float, str]] = {}
    everything = sorted({shots for points in series.values() for shots, _ in points})
    methods = [method for method in series if method != BASELINE]
    faint = min(0.14, 0.9 / max(len(methods), 1))  # many bands on top of each other must not hide the lines
    for method, points in series.items():
        if not points:
            continue
        x = np.array([shots for shots, _ in points], dtype=float)
        y = np.array([100 * entry.mean for _, entry in points])
        spread = np.array([100 * (entry.std or 0.0) for _, entry in points])
        if method == BASELINE:
            colour = "black"
            if np.ptp(y) == 0:  # it has learned nothing from the shots: the same everywhere
                axis.axhline(y[0], color=colour, linestyle=(0, (6, 3)), linewidth=1.2, zorder=1)
            else:
                axis.plot(x, y, color=colour, linestyle=(0, (6, 3)), linewidth=1.2, zorder=1)
        else:
            place = methods.index(method)
            colour = _COLOURS[place % len(_COLOURS)]
            style = "-" if place < len(_COLOURS) else (0, (3, 1))
            marker = _MARKERS[place % len(_MARKERS)]
            axis.plot(x, y, color=colour, linestyle=style, marker=marker, markersize=4, linewidth=1.5, zorder=3)
            axis.fill_between(x, y - spread, y + spread, color=colour, alpha=faint, linewidth=0, zorder=2)
        ends[method] = float(x[-1]), float(y[-1]), colour
    axis.set_xscale("log", base=2)
    axis.set_xticks(everything, [str(shots) for shots in everything])
    axis.minorticks_off()
    axis.set_xlabel("shots per class")
    axis.grid(axis="y", color="0.9", linewidth=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.03)
    name_ends(axis, ends)
