"""Answers at other class frequencies: `--prior`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from adapters.arrays import Doubles, Floats
from adapters.together.adjusted import TRANSDUCTIVE, Adjusted
from adapters.together.frequencies import bbse_shares, em_shares, shifted
from adapters.together.held_out import HeldOut


class Shifted(Adjusted):
    """Known frequencies: each image is answered by itself.

    Args:
        how: where they are from.
        shares: frequencies (C,).
        learned: those that the head has learned (C,).
    """

    def __init__(self, how: str, shares: Doubles, learned: Doubles) -> None:
        super().__init__()
        self.how, self.shares, self.learned = how, shares, learned

    @property
    def said(self) -> str:
        """Where the frequencies are from."""
        return f"prior {self.how}"

    def _adjust(self, images: Floats, logits: Floats) -> Floats:
        assert self.shares is not None
        return shifted(logits.astype(np.float64), self.shares, self.learned).astype(np.float32)


class FoundShares(Shifted):
    """Frequencies that the unlabelled images have, by `em` or `bbse`.

    Args:
        how: which of the two.
        learned: frequencies that the head has learned (C,).
        held_out: what is known of its mistakes; called for bbse alone.
    """

    whole = True

    def __init__(self, how: str, learned: Doubles, held_out: Callable[[], HeldOut]) -> None:
        super().__init__(how, learned, learned)
        self._held_out = held_out
        self._from = ""

    @property
    def said(self) -> str:
        """That unlabelled images were looked at, and how many."""
        return f"{TRANSDUCTIVE}: prior {self.how} of {self.images:,} images together"

    def to_json(self, class_names: Sequence[str]) -> Mapping[str, Any]:
        """Also which images told the head's mistakes."""
        return {**super().to_json(class_names), **({"mistakes_on": self._from} if self._from else {})}

    def _adjust(self, images: Floats, logits: Floats) -> Floats:
        if self.how == "em":
            self.shares = em_shares(logits.astype(np.float64), self.learned)
        else:
            known = self._held_out()
            self._from = f"{len(known.labels):,} {known.what}"
            self.shares = bbse_shares(logits.argmax(1), known.predicted, known.labels, logits.shape[1])
        return super()._adjust(images, logits)
