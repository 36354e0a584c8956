"""What diverged counts as wrong, for every alpha."""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters import ZeroShot
from adapters.search.trials import path_of
from adapters.selection.held_out import right
from adapters.support import Rows


class Lost(ZeroShot):
    """Has no finite logits for its first row."""

    def _logits(self, features: Any) -> Any:
        logits = super()._logits(features)
        logits[0] = np.nan
        return logits

    def parts(self, X: Any) -> Any:
        return self._logits(X), np.zeros((len(X), 4), dtype=np.float32)


def test_what_diverged_is_never_right() -> None:
    text = np.eye(4, dtype=np.float32)
    head, rows = Lost().fit(text, np.arange(4), text=text), Rows(text, np.arange(4))
    assert right(head, rows) == 3
    assert path_of([(head, rows)], (0.0, 1.0)).correct.tolist() == [3]
