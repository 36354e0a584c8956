"""What all pictures share: files, colours, and names at the ends of lines in place of a legend."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters.errors import AdapterError, RunError
from adapters.show.spreading import spread_out
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
