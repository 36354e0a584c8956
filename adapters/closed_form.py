"""Heads that are made of shots and text in closed form."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import clone

from adapters.head import Head


class ClosedForm(Head):
    """A head whose fit trains nothing: to fit it again costs little and gives the same, whatever classes there are."""

    def with_classes(self, X: Any, y: Any, *, text: Any) -> Self:
        """A fitted head of more classes, with these settings and this temperature (`abilities.TakesClasses`)."""
        head: Self = clone(self).fit(X, y, text=text)
        head.temperature_ = self.temperature_
        return head
