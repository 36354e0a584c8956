"""Heads that blend what they learned into other logits: logits = base + alpha * delta, both (N, C).

Only prediction sees alpha: a fit learns the same whatever it is, so that every alpha is scored exactly from one fit
(`adapters.alpha_path`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from adapters.arrays import Floats, unit
from adapters.head import Head


class BlendedHead(Head):
    """A head whose logits are base + alpha * delta; a subclass says what the two are."""

    alpha: float

    def parts(self, X: Any) -> tuple[Floats, Floats]:
        """Base and delta, both (N, C), of features (N, D): logits = base + alpha * delta."""
        return self._parts(unit(self._features(X)))

    def _logits(self, features: Floats) -> Floats:
        base, delta = self._parts(features)
        return base + np.float32(self.alpha) * delta

    @abstractmethod
    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Base and delta, both (N, C), of unit features (N, D)."""
