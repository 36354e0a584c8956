"""What every head is: a scikit-learn style classifier on image features, with class text beside it."""

from __future__ import annotations

import copy
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from adapters.arrays import Floats, Ints, encode_labels, text_weights, to_float32, to_numpy, unit
from adapters.chosen_alpha import AlphaChoice
from adapters.errors import AdapterError, RunError
from adapters.head_files import WEIGHTS, read_head, write_head
from adapters.metrics import softmax
from adapters.parameters import parameters_of
from adapters.support import Rows, Support
from featcache.errors import in_a_line


class Head(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A classifier on frozen image features.

    Hyper-parameters are keyword-only constructor arguments stored under the same name; what `fit` learns ends in `_`.
    A subclass says what it is in the class variables below and implements `_fit`, `_logits` and, where it has
    hyper-parameters worth choosing, `_tuned`.

    Attributes:
        classes_: labels that `predict` returns (C,).
        n_features_in_: D.
        text_: unit class text rows (C, D); class means of the support where `fit` got no text.
        temperature_: what `predict_proba` divides logits by; 1 unless `adapters.selection.calibration` fitted another.
        report_: what `adapters fit` reports; only on a head that `adapters.fit` returned.
        config: what `save` wrote beside the weights; only on a head that `adapters.load` returned.
        selection_note_: only on a clone from `tuned` that could not choose: why not.
        alpha_choice_: only on a clone from `tuned` whose alpha was chosen: how well, and which others are as good.
    """

    method: ClassVar[str]
    """The name on the command line."""
    source: ClassVar[str]
    """The paper it comes from."""
    trains: ClassVar[str]
    """What is trained, in a few words."""
    needs: ClassVar[str]
    """What it needs from a cache beside images, in the words of `adapters.declared.NEEDS`."""
    learned: ClassVar[tuple[str, ...]] = ()
    """Names of the fitted arrays that are saved, beside `text_`."""
    chosen_by_default: ClassVar[tuple[str, ...]] = ()
    """Hyper-parameters that are chosen on the support unless one is told otherwise or given one of them. Only of heads
    for which that was measured not to lose to their fixed defaults on real features (docs/methods.md)."""
    takes_unlabelled: ClassVar[bool] = False
    """Whether it also learns from rows that have no label: -1 in `y`."""
    sees: ClassVar[Literal["embeddings", "projections", "pre-projection"]] = "embeddings"
    """What it needs of a cache's images: their embeddings; the projections that they came through, too; or what comes
    before the image tower's projection in place of them. The latter two `featcache extract --keep` keeps."""
    try_when: ClassVar[str] = ""
    """When to try it, and what to beware of, for `adapters list`."""

    config: dict[str, Any]
    report_: Any
    selection_note_: str
    alpha_choice_: AlphaChoice
    classes_: NDArray[Any]
    n_features_in_: int
    text_: Floats
    temperature_: float = 1.0

    def fit(self, X: Any, y: Any, *, text: Any = None) -> Self:
        """Learn from a support set.

        Args:
            X: features (N, D), or (N, V, D) with V augmented views of every image; raw or normalised; NumPy or torch.
            y: labels (N,), integers that index the rows of `text`; without text any labels. A head that
                `takes_unlabelled` takes rows of label -1, too.
            text: class text (C, D), or an object with `.weights()`; None: the class means of the unit support rows.

        Returns:
            The head itself.

        Raises:
            AdapterError: shapes, labels or hyper-parameters that do not fit together.
        """
        support = Support.check(X, y, text, unlabelled=self.takes_unlabelled)
        self._check_parameters()
        return self._fit_support(support)

    def _fit_support(self, support: Support) -> Self:
        self._prepare(support)
        self._fit(support)
        return self

    def _prepare(self, support: Support) -> None:
        """Take from the support what every head has; `_fit` comes next."""
        self.classes_, self.text_ = support.classes, support.text
        self.n_features_in_ = support.text.shape[1]
        self.temperature_ = 1.0

    def decision_function(self, X: Any) -> Floats:
        """Logits (N, C) in float32 of features (N, D)."""
        check_is_fitted(self, "n_features_in_")
        logits = np.asarray(self._logits(unit(self._features(X))), dtype=np.float32)
        if not np.isfinite(logits).all():
            message = f"{self.method} gives logits that are not finite: training diverged or a setting is too large; "
            raise AdapterError(message + "lower its learning rate or alpha")
        return logits

    def predict(self, X: Any) -> NDArray[Any]:
        """The class (N,) with the largest logit."""
        best = self.decision_function(X).argmax(1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> Floats:
        """Class probabilities (N, C) in float32: the soft-max of the logits over `temperature_`."""
        return softmax(self.decision_function(X) / self.temperature_).astype(np.float32)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, a fraction."""
        from sklearn.metrics import accuracy_score  # a tenth of a second that `adapters fit` does not need

        return float(accuracy_score(to_numpy(y), self.predict(X), sample_weight=sample_weight))

    def tuned(self, X: Any, y: Any, *, text: Any = None, held_out: tuple[Any, Any] | None = None) -> Self:
        """An unfitted clone whose hyper-parameters were chosen honestly.

        Args:
            X: support features (N, D) or (N, V, D).
            y: support labels (N,).
            text: as in `fit`.
            held_out: features (M, D) and labels (M,) to choose on; None: choose on the support itself, by leaving
                rows out. Where that is impossible (one shot) the clone is unchanged and `selection_note_` says why.
        """
        support = Support.check(X, y, text, unlabelled=self.takes_unlabelled)
        self._check_parameters()
        rows = None
        if held_out is not None:
            features = to_float32(held_out[0], "held_out X", (2,))
            if features.shape[1] != support.views.shape[2]:
                raise AdapterError(f"held_out X has {features.shape[1]} columns; X has {support.views.shape[2]}")
            rows = Rows(unit(features), self._held_out_codes(held_out[1], support))
        head: Self = clone(self)
        if rows is None and support.shots < 2:
            head.selection_note_ = "one shot a class leaves nothing to choose on: hyper-parameters stay as they were"
            return head
        return self._tuned(head, support, rows)

    @staticmethod
    def _held_out_codes(y: Any, support: Support) -> Ints:
        labels = to_numpy(y)
        if support.has_text:
            return encode_labels(labels, len(labels), len(support.classes))[0]
        codes = np.searchsorted(support.classes, labels)
        known = support.classes[np.minimum(codes, len(support.classes) - 1)] == labels
        if not known.all():
            raise AdapterError(f"held_out y holds {labels[~known][0]!r}, which the support does not; pass text=")
        return codes.astype(np.int64)

    def prediction_note(self, X: Any) -> str:
        """What must be said beside predictions of features (N, D); empty where they are all that they seem."""
        return ""

    def _with_text(self, text: Any) -> Self:
        """This fitted head with other class text in place of its own."""
        weights = text_weights(text)
        if weights.shape[1] != self.n_features_in_:
            raise AdapterError(f"text has {weights.shape[1]} columns; the head was fitted on {self.n_features_in_}")
        head = copy.copy(self)
        head.text_, head.classes_ = weights, np.arange(len(weights))
        return head

    def save(self, folder: str | Path, **extra_config: Any) -> Path:
        """Write `config.json` and `model.safetensors` into a folder, atomically; see `adapters.head_files`.

        Args:
            folder: made if need be; other files in it stay.
            **extra_config: JSON-able facts kept in the config, such as `class_names`, `cache` or `metrics`.
        """
        check_is_fitted(self, "n_features_in_")
        facts = {
            "method": self.method,
            "class": type(self).__name__,
            "params": self.get_params(),
            "classes": self.classes_.tolist(),
            "temperature": self.temperature_,
            **self._facts(),
        }
        return write_head(Path(folder), facts, self._arrays(), extra_config)

    @classmethod
    def from_files(cls, folder: str | Path, *, device: str | None = None) -> Self:
        """A saved head of this class; `adapters.load` finds the class by itself.

        Args:
            folder: what `save` wrote.
            device: where to run, in place of the device that it was fitted with.

        Raises:
            RunError: nothing there, damaged, or parameters and weights that are not this class's.
        """
        config, arrays = read_head(folder)
        params = dict(config["params"])
        if device is not None and "device" in params:
            params["device"] = device
        try:
            head = cls(**params)
            head._check_parameters()
        except (TypeError, AdapterError) as error:
            raise RunError(
                f"{folder}: {cls.__name__} does not take its saved parameters ({in_a_line(error)}); fit again"
            ) from error
        head.config = config
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        classes = np.asarray(config["classes"])
        if shapes != config["arrays"] or shapes.get("text_", [0])[0] != len(classes):
            raise RunError(f"{Path(folder) / WEIGHTS} is not of the shapes that its config names; fit and save again")
        try:
            head._restore(arrays, classes)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = in_a_line(error) or type(error).__name__
            raise RunError(f"{Path(folder) / WEIGHTS} is not the weights of {cls.__name__} ({reason})") from error
        head.temperature_ = float(config.get("temperature", 1.0))  # heads saved before there was calibration lack it
        return head

    @property
    def parameters_(self) -> int:
        """How many numbers were trained."""
        check_is_fitted(self, "n_features_in_")
        return self._count(len(self.text_), self.n_features_in_, self._keys())

    def count_parameters(self, *, dim: int, classes: int, shots: int) -> int:
        """How many numbers training would learn from C classes of K shots in D dimensions."""
        return self._count(classes, dim, classes * shots)

    def _count(self, classes: int, dim: int, rows: int) -> int:
        """Trained numbers, given C, D and the number of support rows N; training-free unless overridden.

        Uses hyper-parameters and arithmetic alone, so that `adapters.declared` can count without importing a method.
        """
        return 0

    def _keys(self) -> int:
        """Support rows that the fitted head keeps."""
        return 0

    def _features(self, X: Any) -> Floats:
        features = to_float32(X, "X", (2,))
        if features.shape[1] != self.n_features_in_:
            raise AdapterError(
                f"X has {features.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input: use features of the encoder that the head was fitted on"
            )
        return features

    def _check_parameters(self) -> None:
        """Refuse hyper-parameters outside the ranges that the constructor declares."""
        for name, parameter in parameters_of(type(self)).items():
            parameter.check(getattr(self, name))

    @abstractmethod
    def _fit(self, support: Support) -> None:
        """Learn; `classes_`, `text_` and `n_features_in_` are set already."""

    @abstractmethod
    def _logits(self, features: Floats) -> Floats:
        """Logits (N, C) of unit features (N, D)."""

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Set the chosen hyper-parameters on `head`, a clone of this one."""
        head.selection_note_ = f"{self.method} has nothing to choose"
        return head

    def explanation(self) -> dict[str, Any] | None:
        """How a fitted head came to be what it is, as JSON-able values; None where there is nothing to tell."""
        return None

    def _facts(self) -> dict[str, Any]:
        """What of the fitted head is no array, as JSON-able values: `_restore` finds it in `config`."""
        return {}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Fitted arrays by name, as they are saved."""
        return {name: getattr(self, name) for name in ("text_", *self.learned)}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        """Become the fitted head that `_arrays` came from."""
        self.classes_ = classes
        for name, array in arrays.items():
            setattr(self, name, array)
        self.n_features_in_ = self.text_.shape[1]


def cosine_logits(features: Floats, text: Floats, logit_scale: float) -> Floats:
    """Zero-shot logits (N, C): the scale times the cosine of unit features (N, D) and unit text (C, D)."""
    return np.float32(logit_scale) * (features @ text.T)
