"""What a head can do beyond `fit` and logits; whoever needs one of these asks `isinstance` or `issubclass`.

Training many as one program is `adapters.training.trained_head.TrainedHead`; logits whose alpha a fit does not see are
`adapters.blended_head.BlendedHead`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from sklearn.base import clone

from adapters.arrays import Floats
from adapters.head import Head

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class LineInAlpha(Protocol):
    """Logits that are a line in alpha, up to a positive factor of each row: what `adapters.alpha_path` takes."""

    def parts(self, X: Any) -> tuple[Floats, Floats]:
        """Base and delta, both (N, C), of features (N, D): logits = base + alpha * delta."""


@runtime_checkable
class ClassesFromText(Protocol):
    """What was learned is not bound to the classes it was learned on: the text of others is enough to score them."""

    def for_classes(self, text: Any) -> Head:
        """A fitted head that scores other classes than those it was fitted on, and shares what was learned.

        Args:
            text: as in `Head.fit`; its rows are the new classes.
        """


@runtime_checkable
class ClassesFromNeighbours(Protocol):
    """Other classes are made of their text and the rows nearest to it that the head was fitted on."""

    def for_new_classes(self, X: Any, *, text: Any) -> Head:
        """A fitted head for classes that have a name but no images.

        Args:
            X: features (N, D) or (N, V, D) that the head was fitted on.
            text: as in `Head.fit`; its rows are the new classes.
        """


@runtime_checkable
class Online(Protocol):
    """Is adapted to other classes' shots by a forward pass."""

    def adapt(self, X: Any, y: Any = None, text: Any = None) -> Head:
        """A fitted head for other classes, from their shots; nothing is learnt."""


@runtime_checkable
class LearntOnce(Online, Protocol):
    """Learns on base data sets what is then adapted to others."""

    def meta_fit(self, *sets: tuple[Any, Any, Any]) -> Self:
        """Learn on one (X, y, text) for every base data set."""


@runtime_checkable
class Incremental(Protocol):
    """Learns classes task after task, from the new task's rows alone."""

    def partial_fit(self, X: Any, y: Any, *, text: Any) -> Head:
        """Learn one more task: rows of its classes, and the text of all classes seen so far."""


@runtime_checkable
class TakesClasses(Protocol):
    """Is made of shots and text in closed form: with a class more it is as if that had been there from the start."""

    def with_classes(self, X: Any, y: Any, *, text: Any) -> Head:
        """A fitted head of more classes, with the same settings and temperature.

        Args:
            X: features (N, D) or (N, V, D) of all shots, old and new.
            y: labels (N,); a class that has a name alone has none.
            text: as in `Head.fit`, of all classes; the old ones come first.
        """


class ClosedForm(Head):
    """A head that takes classes because its fit trains nothing: to fit it again costs little."""

    def with_classes(self, X: Any, y: Any, *, text: Any) -> Self:
        """As `TakesClasses` has it."""
        head: Self = clone(self).fit(X, y, text=text)
        head.temperature_ = self.temperature_
        return head


@runtime_checkable
class Traced(Protocol):
    """Its logits can be told in torch operations alone, which another runtime can then repeat: `adapters export`."""

    def traced_logits(self, features: Tensor) -> Tensor:
        """Logits (N, C) in float32 of unit features (N, D), as `decision_function` gives them, to rounding.

        N is known only where it runs: no operation may depend on it. Arrays of the head become constants.

        Raises:
            AdapterError: these settings cannot be told so; the message says why and what to fit instead.
        """


@runtime_checkable
class Prototypical(Protocol):
    """Compares images with one row a class: its logits are a scale times the cosines to these."""

    def prototypes(self) -> Floats:
        """The unit rows (C, D)."""


@runtime_checkable
class BoundToEncoder(Protocol):
    """Is given something that was learnt on an encoder's features, and works on that encoder's alone."""

    def check_encoder(self, encoder: Mapping[str, Any], name: str) -> None:
        """Refuse the features of another encoder.

        Args:
            encoder: identity of the encoder whose features the head is about to be fitted on.
            name: of the cache that they are in.

        Raises:
            AdapterError: it is another.
        """
