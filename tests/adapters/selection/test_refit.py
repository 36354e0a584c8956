"""Choosing a hyper-parameter by training once for every value."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pytest

from adapters.arrays import Floats
from adapters.head import Head
from adapters.heads.prolip.reg_linear import RegularizedLinearAdapter
from adapters.heads.taskres import TaskRes
from adapters.parameters import Tried
from adapters.selection.alpha_choice import NOTHING_BETTER
from adapters.selection.held_out import right
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support

FEATURES = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]]
LABELS = np.arange(8) % 4
VALUES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


class Answers(Head):
    """Gets the first `n` of 8 rows right, as a table says; has no finite logits where it says NaN or infinity."""

    table: dict[float, Any]

    def __init__(self, *, n: Annotated[float, Tried(*VALUES)] = 7.0) -> None:
        self.n = n

    def _fit(self, support: Support) -> None:
        pass

    def _logits(self, features: Floats) -> Floats:
        logits = np.roll(features, 1, axis=1)
        value = self.table[self.n]
        if not np.isfinite(value):
            return np.where(features > 0, value, features).astype(np.float32)
        logits[:value] = features[:value]
        return logits


def chosen(monkeypatch: pytest.MonkeyPatch, *table: float) -> Answers:
    monkeypatch.setattr(Answers, "table", dict(zip(VALUES, table, strict=True)), raising=False)
    head = Answers()
    choose_by_refit(head, Support.check(FEATURES, LABELS, np.eye(4)), Rows(FEATURES, LABELS), "n")
    return head


def test_the_best_value_is_taken_and_the_middle_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, 0, 3, 8, 1, 2, 7).n == 2.0
    assert chosen(monkeypatch, 0, 6, 6, 2, 6, 6).n == 2.0  # the lower of two middles
    assert not hasattr(chosen(monkeypatch, 0, 6, 6, 2, 6, 6), "selection_note_")


def test_where_all_are_equal_the_given_value_stays_and_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    head = chosen(monkeypatch, 3, 3, 3, 3, 3, 3)
    assert head.n == 7.0
    assert head.selection_note_ == NOTHING_BETTER


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_without_finite_logits_are_wrong(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """An `argmax` takes NaN and infinity for the largest: here they would be right everywhere."""
    head = chosen(monkeypatch, 1, value, value, 2, 1, 0)
    assert head.n == 3.0
    assert right(Answers(n=1.0), Rows(FEATURES, LABELS)) == 0
    assert right(Answers(n=3.0), Rows(FEATURES, LABELS)) == 2


@pytest.mark.parametrize(
    ("head", "name"),
    [(TaskRes(alpha=0.37, epochs=1), "alpha"), (RegularizedLinearAdapter(penalty=0.37, steps=1), "penalty")],
)
def test_heads_keep_their_own_where_nothing_is_better(head: Head, name: str) -> None:
    tuned = head.tuned(FEATURES, LABELS, text=np.eye(4, dtype=np.float32), held_out=(FEATURES, LABELS))
    assert getattr(tuned, name) == 0.37
    assert tuned.selection_note_ == NOTHING_BETTER
