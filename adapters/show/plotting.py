"""What all pictures share: files, colours, and names at the ends of lines in place of a legend."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters.errors import AdapterError, RunError
from featcache.places.whole import write_whole

SUFFIXES = (".svg", ".png")
_SPACING = 0.036  # between names, of the height of the axes


def check_suffix(path: Path) -> None:
    """Refuse a file that is neither SVG nor PNG.

    Raises:
        AdapterError: another suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise AdapterError(f"--plot {path} given; expected a file that ends in {' or '.join(SUFFIXES)}")


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure, whole or not at all, and the same bytes every time.

    Raises:
        RunError: the file cannot be written.
    """
    kind, content = path.suffix.lower().removeprefix("."), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "featcache", "svg.fonttype": "none"}):
        figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise RunError(
            f"cannot write the picture {path} ({error.strerror or error}): name a file that can be written, "
            "such as --plot curve.svg"
        ) from error
    return path


def name_ends(axis: Axes, ends: Mapping[str, tuple[float, float, str]]) -> None:
    """Write every name right of the axes at the height of its line, moved apart where they would overlap.

    Args:
        axis: where the lines are.
        ends: the end (x, y) and the colour of each line.
    """
    low, high = axis.get_ylim()
    names = sorted(ends, key=lambda name: ends[name][1])
    wanted = [(ends[name][1] - low) / (high - low) for name in names]
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
