"""How accuracies are written for people: in percent, with two digits."""

from __future__ import annotations

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
