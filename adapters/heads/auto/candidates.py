"""Which heads `auto` mixes, and how many of them a problem of some size can afford."""

from __future__ import annotations

from typing import Any, NamedTuple

from adapters.head import Head
from adapters.heads.clap import ZeroShotLinearProbe
from adapters.heads.clip_adapter.clip_adapter import ClipAdapter
from adapters.heads.gda import GDA
from adapters.heads.kernel.proker import ProKeR
from adapters.heads.linear import LinearProbe
from adapters.heads.lpp import LinearProbePlusPlus
from adapters.heads.taskres import TaskRes
from adapters.heads.timo import TIMO
from adapters.heads.zero_shot import ZeroShot
from adapters.support import Support


class Candidate(NamedTuple):
    """A head to mix.

    Attributes:
        head_class: its class.
        chosen: whether its hyper-parameters are chosen on the shots where there are two or more.
        closed: whether it is cheap at any size: nothing is trained in steps.
    """

    head_class: type[Head]
    chosen: bool = False
    closed: bool = False

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.head_class.method}, chosen" if self.chosen else self.head_class.method

    def prepared(self, support: Support, facts: dict[str, Any]) -> Head:
        """An unfitted head, its hyper-parameters chosen on the support where they are to be.

        Args:
            support: what it will be fitted on.
            facts: logit_scale, seed and device; what the head does not take is left out.
        """
        known = self.head_class().get_params()
        head = self.head_class(**{name: value for name, value in facts.items() if name in known})
        if not self.chosen or support.shots < 2:
            return head
        return head._tuned(self.head_class(**head.get_params()), support, None)


BASELINE = Candidate(ZeroShot, closed=True)
WITHOUT_TEXT = Candidate(LinearProbe)
CANDIDATES = (
    BASELINE,
    WITHOUT_TEXT,
    Candidate(ClipAdapter),
    Candidate(TaskRes),
    Candidate(ZeroShotLinearProbe),
    Candidate(LinearProbePlusPlus),
    Candidate(ProKeR, chosen=True, closed=True),
    Candidate(GDA, chosen=True, closed=True),
    Candidate(TIMO, closed=True),
    Candidate(TIMO, chosen=True, closed=True),
)
"""Zero-shot first; of the methods that were measured, those that made the mixture better (`benchmarks/auto.py`)."""
FOLDS = 4
MODERATE = 10_000
"""Support rows times classes, from which on the kernel keeps its defaults: 200 factorisations a fold choose it."""
LARGE = 2_000_000
"""Support rows times classes, from which on only what is cheap is fitted, and in two folds."""


def affordable(support: Support) -> tuple[tuple[Candidate, ...], int]:
    """The candidates for a support, and the folds to hold its shots out in."""
    size = len(support.labels) * len(support.classes)
    if size >= LARGE:
        return tuple(dict.fromkeys(each._replace(chosen=False) for each in CANDIDATES if each.closed)), 2
    if support.shots > 1:
        dear = ProKeR if size >= MODERATE else None
        return tuple(c._replace(chosen=False) if c.head_class is dear else c for c in CANDIDATES), FOLDS
    # Nothing can be chosen on one shot, and of what is chosen there is then one form alone.
    return tuple(dict.fromkeys(each._replace(chosen=False) for each in CANDIDATES)), FOLDS
