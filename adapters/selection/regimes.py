"""Which data may choose the hyper-parameters: the five selection regimes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from adapters.errors import TaskError

if TYPE_CHECKING:
    from adapters.arrays import Floats, Ints
    from adapters.head import Head
    from adapters.tasks.task import Rows

Select = Literal["none", "support", "val-kshot", "val", "oracle"]

REGIMES: dict[Select, str] = {
    "none": "nothing: fixed defaults, last step",
    "support": "the K shots themselves, some held out in turn",
    "val-kshot": "min(K, 4) validation images a class (CoOp's protocol)",
    "val": "the whole validation split (Tip-Adapter's protocol)",
    "oracle": "ORACLE: the test split, only to reproduce published rows",
}

ORACLE_WARNING = "ORACLE: the hyper-parameters were chosen on the test split, so its accuracy is no honest estimate"


def parse_select(select: str) -> Select:
    """The regime of that name.

    Raises:
        TaskError: there is none.
    """
    for regime in get_args(Select):
        if select == regime:
            return regime  # type: ignore[no-any-return]
    raise TaskError(f"--select {select} given; expected one of {', '.join(REGIMES)}")


def default_select(head_class: type[Head], given: Collection[str]) -> Select:
    """The regime where none was asked for: `support` for heads that are measured to gain by it, otherwise `none`.

    Args:
        head_class: the method.
        given: hyper-parameters that were given; what a user sets is not chosen over their head.
    """
    chosen = head_class.chosen_by_default
    return "support" if chosen and not set(chosen) & set(given) else "none"


class Lesson(Protocol):
    """What a head may be given to learn from: a `Task`, or a part of one."""

    @property
    def support(self) -> Rows:
        """The shots."""

    @property
    def text(self) -> Any:
        """The classes' text."""

    def held_out(self, select: str) -> tuple[Floats, Ints] | None:
        """What a regime may look at besides the shots."""


def choose(head: Head, task: Lesson, select: Select) -> Head:
    """An unfitted head whose hyper-parameters were chosen on what the regime allows; under `none` the head as it is.

    The test split is touched here under `oracle` and never else (`Task.held_out`).
    """
    if select == "none":
        return head
    support = task.support
    return head.tuned(support.inputs, support.labels, text=task.text, held_out=task.held_out(select))
