"""How accuracies are written for people: in percent, with two digits."""

from __future__ import annotations

from collections.abc import Sequence

MISSING = "–"


def percent(fraction: float | None) -> str:
    """`71.25 %`; nothing where there is no number."""
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def points(mean: float | None, std: float | None = None) -> str:
    """`71.25 ± 1.30`, for a column that says that it is in percent; a dash where there is no number.

    Args:
        mean: a fraction.
        std: its spread over seeds; None: there is one seed.
    """
    if mean is None:
        return MISSING
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")


def span(interval: tuple[float, float]) -> str:
    """`+1.20 to +3.40` points, the ends of an interval of a difference of fractions."""
    low, high = (100 * end for end in interval)
    return f"{low:+.2f} to {high:+.2f}"


def within(interval: Sequence[float]) -> str:
    """`84.2–88.9`, the ends of an interval of a fraction in percent."""
    low, high = (100 * end for end in interval)
    return f"{low:.1f}–{high:.1f}"


def shots_of(shots: int | str) -> str:
    """`1 shot`, `4 shots`, `all shots`."""
    return "1 shot" if shots == 1 else f"{shots} shots"
