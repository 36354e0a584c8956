"""What was asked for of the images together, and what that makes of a head: `--prior`, `--transductive`, `--online`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.abilities import Prototypical
from adapters.errors import AdapterError, RunError
from adapters.methods import METHODS
from adapters.together.frequencies import learned_shares, read_shares, uniform

if TYPE_CHECKING:
    from adapters.arrays import Doubles, Ints
    from adapters.head import Head
    from adapters.together.adjusted import Adjusted
    from adapters.together.held_out import HeldOut

FOUND = ("em", "bbse")
"""Frequencies that are found in the unlabelled images."""
UNIFORM = "uniform"
FREQUENCIES = (UNIFORM, *FOUND)


@dataclass(frozen=True)
class Asked:
    """At most one of the three.

    Attributes:
        prior: class frequencies: `uniform`, `em`, `bbse`, or the path of a CSV file.
        transductive: the images as a mixture, all together.
        online: the images as a stream.

    Raises:
        AdapterError: several of them, or frequencies that are none of the words and no file.
    """

    prior: str | None = None
    transductive: bool = False
    online: bool = False

    def __post_init__(self) -> None:
        given = [f"--{name}" for name in ("prior", "transductive", "online") if getattr(self, name)]
        if len(given) > 1:
            raise AdapterError(f"{' and '.join(given)} given, which each make other answers: give one of them")
        if self.prior and self.prior not in FREQUENCIES and not Path(self.prior).expanduser().is_file():
            words = ", ".join(FREQUENCIES)
            raise AdapterError(f"--prior {self.prior} given; expected {words} or the path of a CSV file of class,share")

    @property
    def any(self) -> bool:
        """Whether anything was asked for."""
        return bool(self.prior) or self.transductive or self.online

    def check(self, head_class: type[Head]) -> None:
        """Refuse a method that cannot give what was asked for.

        Raises:
            AdapterError: it compares images with no row a class.
        """
        if self.transductive and not issubclass(head_class, Prototypical):
            able = ", ".join(name for name in METHODS if issubclass(METHODS[name], Prototypical))
            raise AdapterError(
                f"--transductive needs a head that compares images with one row a class, and {head_class.method} does "
                f"not: fit one of {able}, or type --prior em"
            )

    def of(
        self,
        head: Head,
        class_names: Sequence[str],
        *,
        counts: Ints | None,
        held_out: Callable[[], HeldOut],
    ) -> Adjusted:
        """What makes other logits of a fitted head's.

        Args:
            head: fitted.
            class_names: its C classes.
            counts: images (C,) of each class that it learned from; None: not known.
            held_out: what is known of its mistakes; called where that is needed.

        Raises:
            AdapterError: the head compares images with no row a class, or the file of frequencies cannot be taken.
            RunError: a trained head does not say what it learned from.
        """
        self.check(type(head))
        if self.online:
            from adapters.together.streamed import Streamed

            return Streamed()
        if self.transductive:
            from adapters.together.transduced import Transduced

            assert isinstance(head, Prototypical)
            return Transduced(head.prototypes())
        from adapters.together.shifted import FoundShares, Shifted

        assert self.prior is not None
        learned = _learned(head, counts, len(class_names))
        if self.prior in FOUND:
            return FoundShares(self.prior, learned, held_out)
        if self.prior == UNIFORM:
            return Shifted(UNIFORM, uniform(len(class_names)), learned)
        shares, name = read_shares(Path(self.prior), class_names)
        return Shifted(name, shares, learned)


def _learned(head: Head, counts: Ints | None, classes: int) -> Doubles:
    """Frequencies (C,) that a head has learned: of its shots where it was trained on them as they are, else equal."""
    if head.trains.startswith("nothing") or getattr(head, "balance", "none") != "none":
        return uniform(classes)
    if counts is None:
        raise RunError("the run does not say how many images of each class it learned from: fit again for --prior")
    return learned_shares(counts)
