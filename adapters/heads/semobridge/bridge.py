"""The bridge from images to texts, and what both forms of SeMoBridge make of it.

    e(f) = n(f P^+ + b),   g(f) = e(f) P                       P (E, D): text projection; b (E,): bias, 0 unless trained
    p_c  = n(mean_{i: y_i = c} g(f_i)),   m_c = n(mean_{i: y_i = c} f_i)
    z1 = n(f) n(t)^T,   z2 = n(f) p^T,   z3 = n(g(f)) m^T                                                 each (N, C)
    d_c  = -log2 softmax_c'(m_c t_c'^T)_c
    logits = s (phi_1(z1) + alpha u (phi_2(z2) + gamma phi_3(z3)))
    phi(z) = exp(-beta (1 - z)), a beta each;   u_c = exp(smoothness d_c)

P^+ (D, E) is the pseudo-inverse of P without singular values below 0.3: what a text tower would have had to put out for
its embedding to be f. n(x) = x / |x|, t (C, D) is the class text, s the encoder's scale. The released code names the
three betas alpha, beta and gamma and weighs the parts by lambda_1..3; its scores are ours times lambda_1 / s with
alpha = lambda_2 / lambda_1 and gamma = lambda_3 / lambda_2. The length that it gives e(f), the mean length of texts
before P, cancels wherever e or g is normalised, which is everywhere. Source: Chen et al., SeMoBridge (arXiv 2509.26036)
and its released code, of which no line is copied: it has no licence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from adapters.arrays import Doubles, Floats, unit
from adapters.blended_head import BlendedHead
from adapters.errors import AdapterError
from adapters.head import cosine_logits
from adapters.heads.traced import traced_products
from adapters.selection.alpha_choice import Piece, lines, set_chosen
from adapters.selection.held_out import held_out_splits
from adapters.selection.refit import FOLDS
from adapters.support import Rows, Support
from adapters.training.stacking import fit_supports

CUT = 0.3
"""Singular values of the text projection below this are taken for 0."""
EPS = 1e-6
"""Added to both probabilities in d, as in the released code."""
BETAS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Tried for the sharpness of the cosines to bridged prototypes."""
NO_PROJECTION = (
    "fitted without the encoder's text projection, so that images stay where they are: no bridge; extract with --keep "
    "pre-projection"
)


class Blend(NamedTuple):
    """The three parts of the logits, (N, C) each, before their sharpness."""

    z1: Floats
    z2: Floats
    z3: Floats


class Bridged(BlendedHead):
    """A head that blends what the bridge says into zero-shot; see the equations of this module.

    Attributes:
        projection_: P (E, D).
        inverse_: P^+ (D, E).
        prototypes_: p (C, D).
        means_: m (C, D).
        bridged_: whether the encoder's text projection was known; if not, P is the identity.
    """

    projection_: Floats
    inverse_: Floats
    prototypes_: Floats
    means_: Floats
    bridged_: bool

    beta: float
    text_beta: float
    image_beta: float
    gamma: float
    smoothness: float
    logit_scale: float

    def _prepare(self, support: Support) -> None:
        super()._prepare(support)
        self.bridged_ = support.projection is not None
        self.projection_ = text_projection(support)
        self.means_ = _raw_means(support)

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Zero-shot's part and the bridge's, both (N, C)."""
        return self._blended(self._cosines(features))

    def _blended(self, z: Blend) -> tuple[Floats, Floats]:
        scale = np.float32(self.logit_scale)
        weight = np.exp(self.smoothness * divergence(self.means_, self.text_)).astype(np.float32)
        bridged = sharpened(z.z2, self.beta) + np.float32(self.gamma) * sharpened(z.z3, self.image_beta)
        return scale * sharpened(z.z1, self.text_beta), scale * weight * bridged

    def _cosines(self, features: Floats) -> Blend:
        z1, z2 = (cosine_logits(features, rows, 1.0) for rows in (self.text_, self.prototypes_))
        back = unit(carried(features @ self.inverse_ + self._bias(z2), self.projection_))
        return Blend(z1, z2, cosine_logits(back, self.means_, 1.0))

    def _bias(self, z2: Floats) -> Floats | float:
        """The bias b of each row (N, E), given z2 (N, C)."""
        return 0.0

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        z1, z2 = (traced_products(features, rows) for rows in (self.text_, self.prototypes_))
        encoded = normalize(features @ torch.from_numpy(self.inverse_) + self._traced_bias(z2), dim=1)
        z3 = traced_products(normalize(encoded @ torch.from_numpy(self.projection_), dim=1), self.means_)
        weight = torch.from_numpy(np.exp(self.smoothness * divergence(self.means_, self.text_)).astype(np.float32))
        said, two, three = (
            torch.exp(beta * (z - 1)) for z, beta in ((z1, self.text_beta), (z2, self.beta), (z3, self.image_beta))
        )
        return self.logit_scale * (said + self.alpha * weight * (two + self.gamma * three))

    def _traced_bias(self, z2: Tensor) -> Tensor | float:
        return 0.0

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Choose beta and alpha on held-out rows, or on shots held out of the support in folds."""
        splits = held_out_splits(support, rows, FOLDS)
        heads = [type(self)(**self.get_params()) for _ in splits]
        for _ in fit_supports(heads, [kept for kept, _ in splits]):
            pass

        def pieces() -> Iterator[Piece]:
            for fitted, (_, held) in zip(heads, splits, strict=True):
                z = fitted._cosines(held.features)
                for beta in BETAS:
                    yield (beta,), *fitted.set_params(beta=beta)._blended(z), held.labels

        set_chosen(head, lines(pieces()), ["beta"], rows)
        return head

    def prediction_note(self, X: Any) -> str:
        """That there is no bridge in it, where the encoder's text projection was not known."""
        return "" if self.bridged_ else NO_PROJECTION

    def _facts(self) -> dict[str, Any]:
        return {"bridged": self.bridged_}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        super()._restore(arrays, classes)
        self.bridged_ = bool(self.config["bridged"])


def text_projection(support: Support) -> Floats:
    """P (E, D) of the encoder that a support's text is from; the identity where it is not known.

    Raises:
        AdapterError: it is of another width than the text.
    """
    dim = support.text.shape[1]
    if support.projection is None:
        return np.eye(dim, dtype=np.float32)
    if support.projection.ndim != 2 or support.projection.shape[1] != dim:
        raise AdapterError(f"the text projection has shape {support.projection.shape}; expected (E, {dim})")
    return np.asarray(support.projection, dtype=np.float32)


def inverse(projection: Floats) -> Floats:
    """P^+ (D, E) of P (E, D), without its singular values below `CUT`.

    Raises:
        AdapterError: there are no others.
    """
    left, values, right = np.linalg.svd(projection.astype(np.float64), full_matrices=False)
    kept = values > CUT
    if not kept.any():
        raise AdapterError(
            f"the text projection's largest singular value is {values.max():.2g}; expected one above {CUT}, as CLIP's "
            "are: below it the bridge takes them for 0. Give another --method or an encoder whose projection has one"
        )
    return np.asarray((right[kept].T / values[kept]) @ left[:, kept].T, dtype=np.float32)


def carried(encoded: Floats, projection: Floats) -> Floats:
    """Rows g = e P (N, D) of outputs of the text tower (N, E), of any length, brought to length 1."""
    return np.asarray(unit(encoded) @ projection)


def prototypes(bridged: Floats, labels: NDArray[np.int64], classes: int) -> Floats:
    """Prototypes p (C, D) of g (N, D); a class without rows has none, and is zero."""
    total = np.zeros((classes, bridged.shape[1]))
    np.add.at(total, labels, bridged)
    return unit(total.astype(np.float32))


def divergence(means: Floats, text: Floats) -> Doubles:
    """The divergence d (C,) in bits, of unit means (C, D) and unit text (C, D)."""
    cosines = means.astype(np.float64) @ text.T.astype(np.float64)
    own = np.exp(np.diag(cosines)) / np.exp(cosines).sum(1)
    return np.asarray(np.log2((1 + EPS) / (own + EPS)))


def sharpened(cosines: Floats, beta: float) -> Floats:
    """The sharpness function phi(z) (N, C) of cosines z (N, C)."""
    return np.asarray(np.exp(np.float32(beta) * (cosines - 1)))


def _raw_means(support: Support) -> Floats:
    """Means m (C, D): the mean of a class's raw rows, every view one, then normalised."""
    total = np.zeros(support.text.shape)
    np.add.at(total, support.labels, support.views.mean(1, dtype=np.float64))
    return unit(total.astype(np.float32))
