"""The pictures on a run's page: scores beside zero-shot, reliability, accuracy against alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from adapters.abilities import LineInAlpha
from adapters.arrays import Floats, Ints, unit
from adapters.head import Head
from adapters.html.curves import PLAIN, Point, Series, curves
from adapters.html.intervals import Interval, intervals
from adapters.metrics import reliability
from adapters.parameters import parameters_of
from adapters.runs.report import Report
from adapters.scores import Scores
from adapters.selection.exact_alpha import alpha_path_blocks
from adapters.show.numbers import percent, within
from adapters.tasks.split_rows import SplitRows

BINS = 15
ALPHAS = 201
"""At which an exact path is drawn."""


class Graph(NamedTuple):
    """A picture, and what is to be said below it."""

    drawing: Markup
    told: str


def scores_graph(heads: Mapping[str, Scores]) -> Markup:
    """Accuracy and balanced accuracy of each head, with their intervals."""
    rows = []
    for kind, word in (("accuracy", "accuracy"), ("balanced_accuracy", "balanced")):
        for place, (name, scores) in enumerate(heads.items()):
            middle, ends = getattr(scores, kind), getattr(scores, f"{kind}_interval")
            tip = f"{name}, {word}: {percent(middle)} (95 %: {within(ends)})"
            low, high = (100 * end for end in ends)
            rows.append(Interval(f"{name}, {word}", 100 * middle, low, high, tip, PLAIN if place == 0 else 0))
    said = "; ".join(row.tip for row in rows)
    return intervals(f"Scores with 95 % intervals. {said}", rows, x_title="% of the images, 95 % intervals")


def reliability_graph(head: Head, logits: Floats, labels: Ints) -> Graph:
    """How often images are right by how sure the head is of them, before calibration and after.

    Args:
        head: that gave the logits.
        logits: (N, C), with the head's temperature.
        labels: (N,).
    """
    t = head.temperature_
    told = {"before calibration": logits * t, "after calibration": logits} if t != 1.0 else {"this head": logits}
    lines, errors = [], []
    for look, (name, found) in zip((4, 0) if len(told) > 1 else (0,), told.items(), strict=True):
        bins = reliability(found, labels, BINS)
        points = [
            Point(
                100 * float(confidence),
                100 * float(right),
                tip=f"{name}: {rows:,} images, {percent(right)} right, {percent(confidence)} sure",
                radius=2.5 + 6 * float(np.sqrt(rows / len(labels))),
            )
            for rows, right, confidence in zip(*bins, strict=True)
            if rows
        ]
        lines.append(Series(name, points, look))
        errors.append(f"{name}: ECE {percent(bins.ece)} in these bins")
    drawn = curves(
        f"Reliability: share of right answers by confidence. {'; '.join(errors)}.",
        lines,
        x_title="confidence (%)",
        y_title="right (%)",
        x_values=(0, 20, 40, 60, 80, 100),
        y_range=(0, 100),
        diagonal=True,
    )
    how = (
        f"Probabilities are of logits divided by {t:.3g}, which was fitted without test labels."
        if t != 1.0
        else "Probabilities are as the head gives them; fit --calibrate fits a temperature to them, and shows both."
    )
    about = f"On the dashed line a head is right as often as it says. {BINS} bins of equal width; larger dots are "
    return Graph(drawn, f"{about}more images. {'; '.join(errors)}. {how}")


def alpha_graph(head: Head, report: Report, splits: Mapping[str, SplitRows]) -> Graph | None:
    """Accuracy of the fitted head at every alpha, exactly; None for heads whose logits are no line in alpha.

    Args:
        head: the fitted head.
        report: what was found when it was fitted.
        splits: rows that accuracy is told on, by name; their labels choose nothing here.
    """
    alpha = getattr(head, "alpha", None)
    if not isinstance(head, LineInAlpha) or not isinstance(alpha, int | float):
        return None
    limit = parameters_of(type(head))["alpha"].range
    high = limit.high if limit is not None and np.isfinite(limit.high) else max(3.0 * alpha, 1.0)
    at = np.linspace(0.0, high, ALPHAS)
    lines: list[Series] = []
    for look, (name, rows) in zip((0, PLAIN), splits.items(), strict=False):
        path = alpha_path_blocks(_pieces(head, rows), lo=0.0, hi=high)
        points = [Point(float(a), 100 * float(y)) for a, y in zip(at, path.accuracy(at), strict=True)]
        lines.append(Series(name, points, look, marked=False))
        own = 100 * float(path.accuracy(float(alpha)))
        tip = f"alpha {alpha:.4g}: {own:.2f} % of {name}"
        lines.append(Series("", [Point(float(alpha), own, tip=tip, radius=6.0)], look))
    said = "; ".join(each.points[0].tip for each in lines if not each.name)
    drawn = curves(
        f"Accuracy against the residual ratio alpha. {said}.",
        lines,
        x_title="residual ratio alpha",
        y_title="accuracy (%)",
    )
    chosen = f"chosen so: {report.alpha_text}" if report.alpha_text else "given, or the default"
    return Graph(drawn, f"Exact, from the fitted head; the dot is its own alpha, {alpha:.4g}, {chosen}.")


def _pieces(head: LineInAlpha, rows: SplitRows) -> Sequence[tuple[Floats, Floats, Ints]]:
    found, start = [], 0
    for images in rows.blocks():
        base, delta = head.parts(unit(images))
        found.append((base, delta, rows.labels[start : start + len(images)]))
        start += len(images)
    return found
