"""What may choose the hyper-parameters: the selection regimes, each a record that all who ask about one read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from adapters.errors import TaskError

if TYPE_CHECKING:
    from adapters.arrays import Floats, Ints
    from adapters.head import Head
    from adapters.tasks.split_rows import SplitRows


class OfShots(Protocol):
    """What is learned from without held-out images."""

    @property
    def support(self) -> SplitRows:
        """The shots."""

    @property
    def unlabelled(self) -> SplitRows | None:
        """Images of the same classes whose labels are not known or not looked at: -1; None where there are none."""

    @property
    def text(self) -> Any:
        """The classes' text."""


class Lesson(OfShots, Protocol):
    """What a head may be given to learn from: a `Task`, or a part of one."""

    @property
    def val(self) -> SplitRows | None:
        """The validation split; None where there is none."""

    @property
    def val_kshot(self) -> SplitRows | None:
        """A few validation images a class, drawn like the shots; None where there is no validation split."""

    @property
    def test(self) -> SplitRows:
        """The test split."""

    @property
    def source(self) -> str:
        """What the cache is called."""


@dataclass(frozen=True)
class Regime:
    """What may choose hyper-parameters.

    Attributes:
        name: on the command line.
        meaning: what it is that chooses, as a reader is told.
        looks_at: which rows right answers are counted on, in a few words; empty where nothing is chosen.
        axis: the same on the axis of a picture.
        rows: the rows outside the shots that it may look at (None: the cache has none); None where it may look at none.
        common: whether these rows are the same for every draw of shots.
        drawn: whether they are drawn with the shots, so that a few-shot set has to name them.
        caveat: what must be said beside the numbers once something was chosen.
        warning: what makes its numbers no honest estimate; empty for all others.
    """

    name: str
    meaning: str
    looks_at: str = ""
    axis: str = ""
    rows: Callable[[Lesson], SplitRows | None] | None = None
    common: bool = False
    drawn: bool = False
    caveat: str = ""
    warning: str = ""

    def __post_init__(self) -> None:
        if self.rows is not None and not self.looks_at:
            raise ValueError(f"the regime {self.name} may look at rows, and says not at which: give looks_at")

    @property
    def chooses(self) -> bool:
        """Whether it chooses anything at all."""
        return bool(self.looks_at)

    @property
    def on_shots(self) -> bool:
        """Whether it chooses on the shots themselves, by leaving some out."""
        return self.chooses and self.rows is None

    @property
    def title(self) -> str:
        """Its name in a heading: in capitals where its numbers are no honest estimate."""
        return self.name.upper() if self.warning else self.name

    @property
    def shouted(self) -> str:
        """What of a heading is shown in red: its title where its numbers are no honest estimate, else nothing."""
        return self.title if self.warning else ""

    def held_out(self, lesson: Lesson) -> tuple[Floats, Ints] | None:
        """What it may look at besides the shots: raw embeddings (N, D) and labels (N,); None: nothing.

        Raises:
            TaskError: it needs a validation split that the cache lacks.
        """
        if self.rows is None:
            return None
        rows = self.rows(lesson)
        if rows is None:
            free = " or ".join(f"--select {regime.name}" for regime in (SUPPORT, NONE))
            raise TaskError(
                f"--select {self.name} needs a val split with labels, which cache {lesson.source} lacks: type {free}, "
                "or extract with --splits train,val,test"
            )
        return rows.images, rows.labels


NONE = Regime("none", "nothing: settings as given or by default, last step")
SUPPORT = Regime(
    "support",
    "the K shots themselves, some held out in turn",
    looks_at="support rows (left out in turn)",
    axis="held-out shots",
)
_VAL_CAVEAT = "accuracy.val includes the images that chose the hyper-parameters"
VAL_KSHOT = Regime(
    "val-kshot",
    "min(K, 4) validation images a class (CoOp's protocol)",
    looks_at="drawn validation rows",
    axis="min(K, 4) validation images a class",
    rows=lambda lesson: lesson.val_kshot,
    drawn=True,
    caveat=_VAL_CAVEAT,
)
VAL = Regime(
    "val",
    "the whole validation split (Tip-Adapter's protocol)",
    looks_at="validation rows",
    axis="the validation split",
    rows=lambda lesson: lesson.val,
    common=True,
    caveat=_VAL_CAVEAT,
)
ORACLE = Regime(
    "oracle",
    "ORACLE: the test split, only to reproduce published rows",
    looks_at="test rows",
    axis="the TEST split: ORACLE",
    rows=lambda lesson: lesson.test,  # the one use of test labels outside evaluation
    common=True,
    warning="ORACLE: the hyper-parameters were chosen on the test split, so its accuracy is no honest estimate",
)

LEAST_TO_CHOOSE_ON = 2
"""Shots a class, below which none can be held out."""

REGIMES = {regime.name: regime for regime in (NONE, SUPPORT, VAL_KSHOT, VAL, ORACLE)}


def parse_select(select: str) -> Regime:
    """The regime of that name.

    Raises:
        TaskError: there is none.
    """
    if select not in REGIMES:
        raise TaskError(f"--select {select} given; expected one of {', '.join(REGIMES)}")
    return REGIMES[select]


def default_regime(chosen_by_default: Collection[str], *, shots: int, given: Collection[str] = ()) -> Regime:
    """The regime where none was asked for: on the shots for heads that are measured to gain by it, otherwise none.

    Args:
        chosen_by_default: the method's `Head.chosen_by_default`.
        shots: rows of a class, K.
        given: hyper-parameters that were given; what a user sets is not chosen over their head.
    """
    free = bool(chosen_by_default) and not set(chosen_by_default) & set(given)
    return SUPPORT if free and shots >= LEAST_TO_CHOOSE_ON else NONE


def choose(head: Head, lesson: Lesson, regime: Regime) -> Head:
    """An unfitted head whose hyper-parameters were chosen on what the regime allows; the head as it is if nothing.

    The test split is touched here under `oracle` and never else.
    """
    if not regime.chooses:
        return head
    rows = learnt_from(head, lesson)
    return head.tuned(rows.inputs, rows.labels, text=lesson.text, held_out=regime.held_out(lesson))


def learnt_from(head: Head | type[Head], lesson: OfShots) -> SplitRows:
    """The rows that a head is fitted on: the shots; behind them what has no label, for a head that takes that too."""
    if not head.takes_unlabelled or lesson.unlabelled is None:
        return lesson.support
    return lesson.support.followed_by(lesson.unlabelled)
