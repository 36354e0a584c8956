"""GDA-CLIP, the "hard-to-beat baseline": Gaussian discriminant analysis beside zero-shot, in closed form.

    logits = s n(f) n(t)^T + alpha (n(f) W^T + b),    W = mu P,    b_c = log(1/C) - mu_c P mu_c^T / 2

with the class means mu (C, D) of the unit rows (every view is a row; the means are not normalised) and one precision
for all classes, shrunk by trace: P = D [(n - 1) S + tr(S) I]^-1, where S (D, D) is the covariance of the n rows about
their class means. For classes without images there is a base-to-new variant; see `GDA.for_new_classes`.
Source: Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation (arXiv 2402.04087).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from adapters.abilities import ClosedForm
from adapters.arrays import Floats, Ints, text_weights, to_float32, unit
from adapters.blended_head import BlendedHead
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.heads.traced import traced_cosines, traced_sum
from adapters.parameters import NotNegative
from adapters.selection.alpha_choice import Piece, lines, set_chosen
from adapters.selection.held_out import held_out_splits, quarter_splits
from adapters.support import Rows, Support

if TYPE_CHECKING:
    from torch import Tensor

Doubles = NDArray[np.float64]
Covariance = Literal["shrunk", "class-mean"]

NEIGHBOURS, COPIES = 64, 16
"""Base rows, and copies of its text, that a class without images is made of."""
BLOCK = 1 << 22
"""Most numbers of the support that are held in double precision at once (32 MiB)."""
NO_SPREAD = 1e-12
"""Mean squared distance of unit rows to their class mean below which they do not spread: rounding and nothing else."""


class Discriminant(NamedTuple):
    """A linear discriminant: weight (C, D) and bias (C,)."""

    weight: Floats
    bias: Floats


class GDA(BlendedHead, ClosedForm):
    """GDA-CLIP.

    With a single row a class nothing is known of the covariance: W = 0, and the head is zero-shot. A class without rows
    gets the mean of all rows.

    Args:
        alpha: residual ratio of the discriminant; 0 is zero-shot. The authors choose it for each data set on the whole
            validation split, and what they choose rises from 0.001 at 1 shot to 1 at 16 shots; the default is the
            latter. At one or two shots of many views it can fall below zero-shot, as the views of one image say little
            about the spread of its class: choose a smaller one there.
        covariance: "shrunk" as above; "class-mean" is the base part of the released base-to-new script: the
            pseudo-inverse, as float32 has it, of the mean of the classes' own covariances.
        logit_scale: the encoder's scale s.

    Attributes:
        weight_: W (C, D).
        bias_: b (C,).
    """

    method: ClassVar[str] = "gda"
    source: ClassVar[str] = "GDA-CLIP, arXiv 2402.04087"
    trains: ClassVar[str] = "nothing; a Gaussian discriminant in closed form"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "four shots or more and no training"
    chosen_by_default: ClassVar[tuple[str, ...]] = ("alpha",)
    learned: ClassVar[tuple[str, ...]] = ("weight_", "bias_")

    weight_: Floats
    bias_: Floats

    def __init__(
        self, *, alpha: NotNegative = 1.0, covariance: Covariance = "shrunk", logit_scale: float = 100.0
    ) -> None:
        self.alpha = alpha
        self.covariance = covariance
        self.logit_scale = logit_scale

    def _fit(self, support: Support) -> None:
        rows, labels = stacked_views(support)
        self.weight_, self.bias_ = discriminant(rows, labels, len(support.classes), self.covariance)

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Zero-shot logits and discriminant logits, both (N, C)."""
        base = cosine_logits(features, self.text_, self.logit_scale)
        return base, features @ self.weight_.T + self.bias_

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        base = traced_cosines(features, self.text_, self.logit_scale)
        return base + self.alpha * traced_sum(features, self.weight_, self.bias_)

    def for_new_classes(self, X: Any, *, text: Any) -> Self:
        """A head for classes that have a name but no images, from the base classes' images nearest to that name.

        Each new class c borrows the 64 base rows nearest to its text t_c. Its mean is that of these rows and 16 copies
        of t_c. Its covariance is that of the 64 rows about t_c (divisor 63), shrunk as above with n = 64; the precision
        is the mean of the classes' precisions. This is the released base-to-new script, which needs 64 base rows;
        here, fewer are used as they are. It goes with `covariance="class-mean"` and an alpha chosen on base classes.

        Args:
            X: support features of the base classes (N, D) or (N, V, D), raw or normalised; every view is a row.
            text: class text of the new classes (C', D), or an object with `.weights()`.

        Returns:
            A fitted head with this one's hyper-parameters, whose classes are 0 to C' - 1.
        """
        rows = unit(to_float32(X, "X", (2, 3)))
        rows, names = rows.reshape(-1, rows.shape[-1]), text_weights(text)
        for what, width in (("X", rows.shape[1]), ("text", names.shape[1])):
            if width != self.n_features_in_:
                raise AdapterError(
                    f"{what} has {width} columns, but the head was fitted on {self.n_features_in_}; "
                    "both must come from the same encoder"
                )
        head = type(self)(**self.get_params())
        head.classes_, head.text_, head.n_features_in_ = np.arange(len(names)), names, self.n_features_in_
        head.weight_, head.bias_ = new_class_discriminant(rows, names)
        return head

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Choose among all alphas on held-out rows, or on shots held out of the support in folds.

        Of two shots a class, folds over the shots would leave single rows, and of their covariance nothing: there a
        shot of a quarter of the classes is held out at a time.
        """

        def piece(kept: Support, held: Rows) -> Piece:
            fitted = type(self)(**self.get_params())._fit_support(kept)
            return (), *fitted._parts(held.features), held.labels

        pairs = rows is None and support.shots == 2
        splits = quarter_splits(support) if pairs else held_out_splits(support, rows)
        found = lines(piece(kept, held) for kept, held in splits)
        set_chosen(head, found, [], rows)
        return head


def stacked_views(support: Support) -> tuple[Floats, Ints]:
    """Every view as a unit row (N V, D), and its class code (N V,)."""
    _, views, dim = support.unit_views.shape
    return support.unit_views.reshape(-1, dim), np.repeat(support.labels, views)


def discriminant(rows: Floats, labels: Ints, classes: int, covariance: Covariance = "shrunk") -> Discriminant:
    """The Gaussian discriminant of rows (n, D) with class codes (n,); see the head of this module."""
    means = _class_means(rows, labels, classes)
    precision = _shrunk_precision if covariance == "shrunk" else _class_mean_precision
    return _linear(means, precision(rows, labels, means))


def new_class_discriminant(rows: Floats, text: Floats) -> Discriminant:
    """The discriminant of classes that have only text (C', D), from base rows (n, D); see `GDA.for_new_classes`."""
    dim, near = rows.shape[1], min(NEIGHBOURS, len(rows))
    means = np.empty(text.shape)
    precision = np.zeros((dim, dim))
    for c, name in enumerate(text.astype(np.float64)):
        borrowed = rows[np.argpartition(-(rows @ text[c]), near - 1)[:near]].astype(np.float64)
        means[c] = (borrowed.sum(0) + COPIES * name) / (near + COPIES)
        away = borrowed - name
        ridge = np.square(away).sum() / max(near - 1, 1)
        if ridge > NO_SPREAD:
            # The inverse of away^T away + ridge I, whose rank is near + 1 at most, by Woodbury's identity.
            inner = np.linalg.solve(away @ away.T + ridge * np.eye(near), away)
            precision += (np.eye(dim) - away.T @ inner) * (dim / ridge / len(text))
    return _linear(means, precision)


def _linear(means: Doubles, precision: Doubles) -> Discriminant:
    weight = means @ precision
    bias = -np.log(len(means)) - 0.5 * np.einsum("cd,cd->c", means, weight)
    return Discriminant(weight.astype(np.float32), bias.astype(np.float32))


def _class_means(rows: Floats, labels: Ints, classes: int) -> Doubles:
    """Means (C, D); the mean of all rows for a class without any."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    counts = np.diff(np.append(starts, len(rows)))
    means = np.tile(rows.mean(0, dtype=np.float64), (classes, 1))
    for c, start, count in zip(present, starts, counts, strict=True):
        means[c] = rows[order[start : start + count]].mean(0, dtype=np.float64)
    return means


def _scatter(rows: Floats, labels: Ints, means: Doubles) -> Doubles:
    """Sum of outer products (D, D) of rows less their class mean."""
    dim = rows.shape[1]
    step = max(1, BLOCK // dim)
    scatter = np.zeros((dim, dim))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        away = rows[part] - means[labels[part]]
        scatter += away.T @ away
    return scatter


def _shrunk_precision(rows: Floats, labels: Ints, means: Doubles) -> Doubles:
    dim = rows.shape[1]
    scatter = _scatter(rows, labels, means)
    trace = float(np.trace(scatter))
    if trace <= NO_SPREAD * len(rows):
        return np.zeros((dim, dim))
    shrunk = scatter + trace / (len(rows) - 1) * np.eye(dim)
    return np.asarray(dim * np.linalg.inv(shrunk))


def _class_mean_precision(rows: Floats, labels: Ints, means: Doubles) -> Doubles:
    dim = rows.shape[1]
    counts = np.bincount(labels, minlength=len(means))
    known = counts >= 2
    if not known.any():
        return np.zeros((dim, dim))
    covariance = np.zeros((dim, dim))
    for c in np.flatnonzero(known):
        own = labels == c
        covariance += _scatter(rows[own], labels[own], means) / (counts[c] - 1)
    covariance /= known.sum()
    if np.trace(covariance) <= NO_SPREAD:
        return np.zeros((dim, dim))
    inverse = np.linalg.pinv(covariance, rcond=dim * float(np.finfo(np.float32).eps), hermitian=True)
    return np.asarray(inverse, dtype=np.float64)
