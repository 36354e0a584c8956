"""Accuracy against shots: one line a method with a band of one standard deviation, zero-shot dashed.

Every line is named at its end in its own colour, with a thin leader where names had to make room for each other, so
that eighteen of them need no legend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters.bench.summary import Block, Entry
from adapters.errors import AdapterError, RunError

SUFFIXES = (".svg", ".png")
BASELINE = "zero-shot"
# Dark enough to be read as text on white; neighbours in this order are far apart.
_COLOURS = ["#1f6fb4", "#d62728", "#2c962c", "#8e5cc0", "#e06c00", "#7a4b40", "#d64fa8", "#0f93a6", "#858600"]
_COLOURS += ["#00327a", "#7f0000", "#004d33", "#5e0f7f", "#b8860b", "#5a6b7a", "#ff4d6d", "#0077ff", "#3f9f7f"]
_MARKERS = "osD^vPX"
_SPACING = 0.036  # between names, of the height of the axes

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
    if path.suffix.lower() not in SUFFIXES:
        raise AdapterError(f"--plot {path} given; expected a file that ends in {' or '.join(SUFFIXES)}")
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
    try:
        with mpl.rc_context({"svg.hashsalt": "featcache", "svg.fonttype": "none"}):  # the same file every time
            figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror or error}): give another --plot") from error
    return path


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
    _name_ends(axis, ends)


def _name_ends(axis: Axes, ends: Mapping[str, tuple[float, float, str]]) -> None:
    """Write every name right of the axes at the height of its line, moved apart where they would overlap."""
    low, high = axis.get_ylim()
    names = sorted(ends, key=lambda method: ends[method][1])
    wanted = [(ends[method][1] - low) / (high - low) for method in names]
    for name, place in zip(names, spread_out(wanted, min(_SPACING, 1 / len(names))), strict=True):
        x, y, colour = ends[name]
        axis.annotate(
            name,
            xy=(x, y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            color=colour,
            fontsize=8.5,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),  # from the left of the name, not through it
                "color": colour,
                "linewidth": 0.6,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
            },
            annotation_clip=False,
        )


def spread_out(wanted: Sequence[float], spacing: float) -> list[float]:
    """Places in [0, 1] at least `spacing` apart, as near to the wanted ones as that allows (least squares).

    Args:
        wanted: ascending.
        spacing: the least distance; all must fit.
    """
    # With the spacing taken off, places need only ascend: isotonic regression, by pooling adjacent violators.
    pools: list[list[float]] = []  # sum and count
    for index, place in enumerate(wanted):
        pools.append([place - index * spacing, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    flat = [total / count for total, count in pools for _ in range(int(count))]
    room = 1 - (len(wanted) - 1) * spacing
    return [min(max(place, 0.0), room) + index * spacing for index, place in enumerate(flat)]
