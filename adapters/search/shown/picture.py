"""Selection accuracy against alpha: one line a number of shots, the chosen alphas marked.

Where the head is base + alpha * delta, up to a positive factor of each row, the line is the exact step function of the
chosen heads, averaged over seeds. If alpha was trained, small dots beside it are the grid's own: heads trained with
that alpha, each with the best of its other options. Other heads have a line through these dots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters.search.facts import Chosen
from adapters.search.results import Results
from adapters.selection.exact_alpha import AlphaPath
from adapters.show.plotting import name_ends, write_figure

Array = npt.NDArray[np.float64]


def draw_picture(results: Results) -> Path:
    """Write the picture of a search to its file.

    Raises:
        RunError: the file cannot be written.
    """
    option, grid = results.grid.drawn, results.grid
    figure = Figure(figsize=(8.6, 6.2), dpi=150, layout="constrained")
    axis: Axes = figure.subplots()
    scale = _Scale(grid.options[option])
    groups = {shots: [c for c in results.chosen if c.shots == shots and c.outcomes] for shots in results.facts.shots}
    groups = {shots: chosen for shots, chosen in groups.items() if chosen}
    colours = mpl.colormaps["viridis"](np.linspace(0.72, 0.0, max(len(groups), 2)))
    ends: dict[str, tuple[float, float, str]] = {}
    for (shots, of_shots), rgba in zip(groups.items(), colours, strict=False):
        colour = mpl.colors.to_hex(rgba)
        x, y = _line(axis, results, of_shots, scale, colour)
        ends[f"{shots} shot{'s' if shots > 1 else ''}"] = float(x[-1]), float(y[-1]), colour
    scale.set_up(axis, option)
    axis.set_ylabel(f"accuracy on {results.facts.regime.axis} (%)")
    axis.grid(axis="y", color="0.9", linewidth=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    if ends:
        name_ends(axis, ends)
    else:
        axis.text(0.5, 0.5, "nothing could be compared", transform=axis.transAxes, ha="center", color="0.35")
    caption = _packed(_caption(results), 120)
    axis.set_title(_packed(results.title.split(" · "), 100), loc="left", fontsize=10, pad=22 + 11 * caption.count("\n"))
    told = axis.annotate(caption, (0, 1), (0, 8), "axes fraction", "offset points", fontsize=8, color="0.35")
    told.set_in_layout(False)  # the title's padding makes its room
    return write_figure(figure, results.picture)


def mean_path(paths: Sequence[AlphaPath]) -> tuple[Array, Array]:
    """The mean of step functions over one range: where it changes (K,), and its accuracies (K,) from there on."""
    points = np.unique(np.concatenate([path.breakpoints for path in paths]))
    return points, np.mean([path.accuracy(points) for path in paths], axis=0)


def grid_means(
    chosen: Sequence[Chosen], settings: Sequence[dict[str, Any]], option: str, values: Sequence[Any]
) -> Array:
    """For every value of an option, the accuracy of the best setting with it, averaged over draws."""
    means = []
    for value in values:
        fitting = [i for i, setting in enumerate(settings) if setting[option] == value]
        means.append(np.mean([max(each.outcomes[i].correct for i in fitting) / each.rows for each in chosen]))
    return np.array(means)


class _Scale:
    """Where the values of an option stand: by number, by logarithm where they span decades, or one after another."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.numbers = all(type(value) in (int, float) for value in values)
        self.values = sorted(values) if self.numbers else list(values)
        self.log = self.numbers and self.values[0] > 0 and self.values[-1] / self.values[0] >= 50

    def place(self, value: Any) -> float:
        return float(value) if self.numbers else float(self.values.index(value))

    def set_up(self, axis: Axes, option: str) -> None:
        axis.set_xlabel("residual ratio alpha" if option == "alpha" else option.replace("_", " "))
        axis.margins(x=0.02)
        if self.log:
            axis.set_xscale("log")
        if not self.numbers:
            axis.set_xticks(range(len(self.values)), [str(value).lower() for value in self.values])


def _line(axis: Axes, results: Results, chosen: Sequence[Chosen], scale: _Scale, colour: str) -> tuple[Array, Array]:
    """Draw one number of shots; the points of its line."""
    grid, option = results.grid, results.grid.drawn
    paths = [each.final.path for each in chosen if each.final.path is not None]
    exact = option == "alpha" and bool(paths)
    if not exact or grid.alpha_range is None:
        dots = np.array([scale.place(value) for value in scale.values])
        heights = 100 * grid_means(chosen, grid.settings, option, scale.values)
        axis.plot(dots, heights, "o", color=colour, markersize=3, alpha=0.75, zorder=2)
    if exact:
        points, means = mean_path(paths)
        x, y = np.append(points, paths[0].hi), 100 * np.append(means, means[-1])
        if grid.alpha_range is None:
            axis.plot(dots, heights, color=colour, linewidth=0.7, alpha=0.45, zorder=2)
        axis.step(x, y, where="post", color=colour, linewidth=1.5, zorder=3)
    else:
        x, y = dots, heights
        axis.plot(x, y, color=colour, linewidth=1.5, zorder=3)
    for at, seeds in Counter(scale.place(each.setting[option]) for each in chosen).items():
        height, size = y[np.searchsorted(x, at, side="right") - 1], 6 + 2.5 * np.sqrt(seeds - 1)
        axis.plot(
            at, height, "D", color=colour, markeredgecolor="white", markeredgewidth=0.8, markersize=size, zorder=4
        )
    return x, y


def _caption(results: Results) -> list[str]:
    grid, facts = results.grid, results.facts
    has_path = any(chosen.final.path is not None for chosen in results.chosen)
    seeds = "" if len(facts.seeds) == 1 else f", mean of {len(facts.seeds)} seeds"
    if grid.drawn == "alpha" and has_path:
        parts = [f"line: exact accuracy of the chosen heads as alpha changes{seeds}"]
        if grid.alpha_range is None:
            parts.append("dots: trained at that alpha, best of its other settings")
    else:
        parts = [f"dots: best setting with that value{seeds}"]
    parts.append("diamonds: chosen" + (", larger where seeds agree" if len(facts.seeds) > 1 else ""))
    if facts.halving:
        parts.append("settings given up early: accuracy then")
    return parts


def _packed(parts: Sequence[str], width: int) -> str:
    """Parts in as few lines of so many characters as they fill in order."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return "\n".join(lines)
