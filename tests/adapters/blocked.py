"""Class text of several encoders side by side, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adapters.arrays import Block


@dataclass(frozen=True)
class BlockedText:
    """Rows (C, D) with the encoders that they are of."""

    rows: np.ndarray
    blocks: tuple[Block, ...]

    def weights(self) -> np.ndarray:
        return self.rows
