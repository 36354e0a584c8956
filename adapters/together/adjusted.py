"""Other logits than a head's, once more is known than one image: how, from which images, and how that is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from adapters.arrays import Doubles, Floats

TRANSDUCTIVE = "TRANSDUCTIVE"
"""What stands beside every number that unlabelled images were looked at together for."""


class Adjusted(ABC):
    """Logits by more than one image. An instance is for one set of images: what it has seen, it tells.

    Attributes:
        shares: class frequencies (C,) that were found or given; None: none were asked about.
    """

    whole: ClassVar[bool] = False
    """Whether all images must be given at once."""
    in_order: ClassVar[bool] = False
    """Whether an answer depends on the images before it."""
    how: str
    """What was asked for, in a word."""
    shares: Doubles | None = None

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, images: Floats, logits: Floats) -> Floats:
        """Logits (N, C) in place of the head's own.

        Args:
            images: features (N, D).
            logits: of which the soft-max are the head's probabilities (N, C).
        """
        self.images += len(images)
        return self._adjust(images, logits)

    @abstractmethod
    def _adjust(self, images: Floats, logits: Floats) -> Floats:
        """See `__call__`."""

    @property
    @abstractmethod
    def said(self) -> str:
        """What must stand beside every number, in a few words."""

    def to_json(self, class_names: Sequence[str]) -> Mapping[str, Any]:
        """What was asked for, `said`, how many images were seen, and the `shares` of the classes by name."""
        shares = None if self.shares is None else dict(zip(class_names, self.shares.tolist(), strict=True))
        return {"how": self.how, "said": self.said, "images": self.images, "shares": shares}
