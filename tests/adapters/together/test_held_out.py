"""What a head's mistakes are seen on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adapters import TipAdapter
from adapters.errors import AdapterError
from adapters.tasks.split_rows import SplitRows
from adapters.together.held_out import held_out

TEXT = np.eye(2, 4, dtype=np.float32)


def lesson(shots: int) -> Any:
    images, labels = np.repeat(TEXT, shots, axis=0), np.repeat(np.arange(2), shots)
    rows = np.arange(len(labels))
    return SimpleNamespace(
        support=SplitRows(images, None, labels, rows.astype(str), rows), unlabelled=None, val=None, text=TEXT
    )


def test_shots_are_left_out_in_turn_and_one_a_class_cannot_be() -> None:
    found = held_out(TipAdapter(), lesson(2), None)
    assert sorted(found.labels.tolist()) == [0, 0, 1, 1]
    assert found.predicted.tolist() == found.labels.tolist()
    with pytest.raises(AdapterError, match="one shot a class leaves none .* neither answered nor learned from"):
        held_out(TipAdapter(), lesson(1), None)
