"""Heads that record what they are given, and recipes to fit them by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from adapters import ZeroShot
from adapters.bench.protocols.learning import Entrant
from adapters.bench.protocols.settings import Settings
from adapters.selection.regimes import NONE

CALLS: list[dict[str, Any]] = []


class Bound(ZeroShot):
    """Zero-shot that cannot score other classes, and records its fits."""

    method = "bound"

    def fit(self, X: Any, y: Any, *, text: Any = None) -> Any:
        CALLS.append({"fit": np.asarray(X), "y": y, "names": text.class_names})
        return super().fit(X, y, text=text)

    def tuned(self, X: Any, y: Any, *, text: Any = None, held_out: Any = None) -> Any:
        CALLS.append({"tuned": len(y), "held_out": held_out})
        return self

    for_classes = None  # type: ignore[assignment]


class Continuing(Bound):
    """Keeps on, and answers with the last class it was given whatever it sees."""

    method = "continuing"

    def partial_fit(self, X: Any, y: Any, *, text: Any) -> Any:
        CALLS.append({"partial_fit": np.asarray(X), "y": y, "names": text.class_names})
        self.tasks_ = getattr(self, "tasks_", 0) + 1
        return super().fit(X, y, text=text)


class Borrowing(Bound):
    """Scores other classes from the rows that it was fitted on."""

    method = "borrowing"

    def for_new_classes(self, X: Any, *, text: Any) -> Any:
        CALLS.append({"borrow": np.asarray(X), "names": text.class_names})
        return ZeroShot().fit(text.weights(), np.arange(len(text.class_names)), text=text)


class Online(Bound):
    method = "online"

    def adapt(self, X: Any, y: Any = None, text: Any = None) -> Any:
        CALLS.append({"adapt": np.asarray(X), "y": y, "names": text.class_names})
        return ZeroShot(logit_scale=1.0).fit(X, y, text=text)


SETTINGS = Settings("few-shot", NONE, False, None, None, None, False, "cpu")


def recipe(method: str, **change: Any) -> Entrant:
    return Entrant.of(method, 2, {}, replace(SETTINGS, **change))
