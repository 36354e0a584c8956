"""ProLIP: the image tower's last projection is trained, held to what it was.

    logits = s n(x P) n(t_c)^T            n(x) = x / |x|
    loss   = mean_i cross-entropy_i + lambda |P - P_0|_F^2

with x (P,) what the image tower has before its last projection, and that projection P_0 (P, D). Full-batch steps of
Adam (eps 1e-4); step t sees view t + 1, modulo their number; the learning rate falls along a cosine. With lambda = 1/K
at K shots nothing is left to validate. A ResNet's projection has a bias, which is not trained: x then ends with a 1,
and P with the bias, so that the length of a row cancels there too. Source: Fahes et al., ProLIP (arXiv 2410.05270).

Where the encoder's projection is not known (features and text alone were given), P_0 is the identity, which is
`reg-linear`; `prediction_note` says so.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Hashable
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Floats, text_weights
from adapters.errors import AdapterError
from adapters.heads.prolip.reg_linear import Plan, RegularizedLinearAdapter
from adapters.support import Support

NO_PROJECTION = "fitted without the encoder's projection: a matrix on the embeddings, which is reg-linear and no ProLIP"


class ProLIP(RegularizedLinearAdapter):
    """ProLIP with its penalty that needs no validation.

    Attributes:
        matrix_: P^T (D, P).
        projected_: whether the encoder's projection was known; if not, P_0 is the identity.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "prolip"
    source: ClassVar[str] = "ProLIP, arXiv 2410.05270"
    trains: ClassVar[str] = "the image tower's last projection, held to what it was"
    needs: ClassVar[str] = "text, and pre-projection features (extract --keep pre-projection); views used if there"
    try_when: ClassVar[str] = "few shots, where embeddings have lost what the image tower knew"
    sees: ClassVar[Literal["embeddings", "projections", "pre-projection"]] = "pre-projection"

    projected_: bool

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return 3 * dim * dim // 2  # of ViT-B and ViT-L, which have P = 3/2 D and 4/3 D

    @property
    def parameters_(self) -> int:
        """How many numbers were trained; the fixed bias of a ResNet is counted too."""
        return int(self.matrix_.size)

    def _prepare(self, support: Support) -> None:
        super()._prepare(support)
        self.n_features_in_ = support.views.shape[2]
        self.projected_ = support.image_projection is not None

    def _plan(self, support: Support) -> Plan:
        return super()._plan(support)._replace(start=_start(support), fixed=int(support.image_bias))

    def _stack_key(self, support: Support) -> Hashable:
        start = hashlib.sha256(_start(support).tobytes()).digest()
        return super()._stack_key(support), start, support.image_bias

    def _state_bytes(self, support: Support) -> int:
        return 4 * 4 * _start(support).size

    def for_classes(self, text: Any) -> Self:
        """The same projection before other classes' text: it does not know which classes it was trained on."""
        weights = text_weights(text)
        if weights.shape[1] != len(self.matrix_):
            raise AdapterError(f"text has {weights.shape[1]} columns; the head's has {len(self.matrix_)}")
        head = copy.copy(self)
        head.text_, head.classes_ = weights, np.arange(len(weights))
        return head

    def prediction_note(self, X: Any) -> str:
        """That it is no ProLIP, where the encoder's projection was not known."""
        return "" if self.projected_ else NO_PROJECTION

    def _facts(self) -> dict[str, Any]:
        return {"projected": self.projected_}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        super()._restore(arrays, classes)
        self.n_features_in_ = self.matrix_.shape[1]
        self.projected_ = bool(self.config["projected"])


def _start(support: Support) -> Floats:
    """P_0^T (D, P)."""
    if support.image_projection is None:
        return np.eye(support.text.shape[1], dtype=np.float32)
    return np.ascontiguousarray(support.image_projection.T, dtype=np.float32)
