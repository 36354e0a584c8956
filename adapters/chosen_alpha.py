"""How a head's residual ratio was chosen: what stands beside a chosen alpha."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

ChosenOn = Literal["support", "held-out"]


class AlphaChoice(NamedTuple):
    """How a head's residual ratio was chosen: `head.alpha_choice_`, which `tuned` sets and `fit` leaves as it is.

    Only a head whose alpha was chosen by looking at rows has the attribute.
    """

    alpha: float
    """The one that was taken: the head's `alpha`."""
    lo: float
    """Lower end of the interval around it in which every alpha is as good; the end belongs to it."""
    hi: float
    """Upper end; it belongs to it too. Infinity where every larger alpha is as good."""
    accuracy: float
    """Of these alphas, a fraction of the rows; the best of all that were tried."""
    rows: int
    """How many rows were looked at."""
    chosen_on: ChosenOn
    """Which: support rows, each by what was made without it, or rows outside the support."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values: `hi` is None where it is infinite."""
        return {**self._asdict(), "hi": None if math.isinf(self.hi) else self.hi}
