"""A method as the command line uses it, as one scikit-learn estimator: it chooses, then fits.

The estimators of single methods, such as `adapters.TipAdapter`, keep the hyper-parameters that they are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from adapters.arrays import Floats, to_float32, to_numpy
from adapters.errors import AdapterError, TaskError
from adapters.fitting.recipe import Recipe
from adapters.head import Head
from adapters.support import UNLABELLED
from adapters.tasks.split_rows import SplitRows


@dataclass(frozen=True)
class GivenShots:
    """Shots and nothing else to learn from, as a `Lesson`."""

    X: Any
    y: Any
    text: Any
    val: None = None
    val_kshot: None = None
    unlabelled: None = None
    source: str = "of the arrays given"

    @property
    def support(self) -> SplitRows:
        """The shots as rows without a cache."""
        features, labels = to_float32(self.X, "X", (2, 3)), to_numpy(self.y)
        views = features if features.ndim == 3 else None
        images = features if views is None else views.mean(1)
        return SplitRows(images, views, labels, np.arange(len(labels)).astype(str), np.arange(len(labels)))

    @property
    def test(self) -> SplitRows:
        """There are none."""
        raise TaskError("shots alone were given, and no test rows")


class Recommended(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A method's own recipe: what `adapters fit METHOD` fits. Get one from `adapters.recommended`.

    Args:
        method: name of a method.
        params: constructor arguments of the head that are given instead of its defaults; nothing is chosen over them.
        seed: of the training.
        device: auto, cpu, cuda or mps.

    Attributes:
        head_: the fitted head.
        classes_: labels that `predict` returns (C,).
    """

    def __init__(
        self, method: str, *, params: dict[str, Any] | None = None, seed: int = 1, device: str = "auto"
    ) -> None:
        self.method = method
        self.params = params
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any, *, text: Any) -> Self:
        """Choose hyper-parameters where the method's recipe says so, on the support itself, and fit.

        Args:
            X: features (N, D) or (N, V, D); NumPy or torch.
            y: labels (N,), integers that index the rows of `text`.
            text: the classes' text with the encoder's `logit_scale`, such as `cache.text`.

        Raises:
            AdapterError: no such method, a parameter that it does not take, or shapes that do not fit together.
        """
        if not hasattr(text, "logit_scale"):
            raise AdapterError(
                f"text is {type(text).__name__} without the encoder's logit_scale; give cache.text, or an object with "
                ".weights() and .logit_scale"
            )
        given = GivenShots(X, y, text)
        labels = given.support.labels
        shots = int(np.unique(labels[labels != UNLABELLED], return_counts=True)[1].max())
        recipe = Recipe(self.method, shots, self.params or {}, device=self.device)
        self.head_: Head = recipe.learn(given, self.seed).head
        self.classes_ = self.head_.classes_
        return self

    def decision_function(self, X: Any) -> Floats:
        """Logits (N, C) of features (N, D)."""
        return self._head.decision_function(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """The class (N,) with the largest logit."""
        return self._head.predict(X)

    def predict_proba(self, X: Any) -> Floats:
        """Class probabilities (N, C)."""
        return self._head.predict_proba(X)

    def save(self, folder: str | Path, **extra_config: Any) -> Path:
        """Save the fitted head; see `Head.save`. `adapters.load` reads it."""
        return self._head.save(folder, **extra_config)

    @property
    def _head(self) -> Head:
        check_is_fitted(self, "head_")
        return self.head_


def recommended(method: str, *, seed: int = 1, device: str = "auto", **params: Any) -> Recommended:
    """The estimator that `adapters fit METHOD` uses: `adapters.recommended("tip").fit(X, y, text=cache.text)`.

    Args:
        method: name of a method (`adapters list`).
        seed: of the training.
        device: auto, cpu, cuda or mps.
        **params: hyper-parameters to hold fixed, such as `beta=5.5`; what would choose one of them chooses nothing.

    Raises:
        AdapterError: no such method, or a parameter that it does not take.
    """
    Recipe(method, 1, params, device=device).build(logit_scale=1.0, seed=seed)  # refuses names and parameters now
    return Recommended(method, params=params or None, seed=seed, device=device)
