"""SS-Text: class text plus the sum of the class's shots, in closed form.

    logits = s n(f) n(w_c)^T,    w_c = t_c + alpha v_c,    v_c = s / (N lambda_c) sum_{i: y_i = c} f_i

with unit rows f_i (D,), i = 1..N, their classes y_i, unit class text t (C, D) and the encoder's scale s. It is one step
of majorising and minimising the cross-entropy of a linear probe held to the text with weight lambda_c. There are two:

    "ss-text"     lambda_c = 1 / N
    "ss-text+"    lambda_c = 1 / n_c, n_c the class's own rows; and classes are pushed off their common mean:
                  v_c <- v_c - n(2 (t_c + v_c) - mean_c' (t_c' + v_c'))

Taken from the source: both sums, both lambdas, the push, and alpha = 1 (https://github.com/jusiro/SS-Text,
`sstext.py`, and https://github.com/jusiro/SS-Text-U, MIT; read, not copied). Silva-Rodriguez et al., Full Conformal
Adaptation of Medical Vision-Language Models (IPMI 2025), and Towards a Realistic Few-Shot Adaptation of Medical
Vision-Language Models (MICCAI 2025), whose "SStext+" is the second. Our own: the residual ratio alpha, with which also
the push is scaled, so that 0 is zero-shot. Not verified: whether the authors' stored features have length 1 (their
logits normalise both sides, their sums do not), and any published number: those are of medical encoders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np

from adapters.abilities import ClosedForm
from adapters.arrays import Doubles, Floats, unit
from adapters.head import Head, cosine_logits
from adapters.heads.traced import traced_cosines
from adapters.parameters import NotNegative, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support

if TYPE_CHECKING:
    from torch import Tensor

Variant = Literal["ss-text", "ss-text+"]
Alpha = Annotated[NotNegative, Tried(0.01, 0.03, 0.1, 0.3, 1.0, 3.0)]


class MovedText(Head):
    """Class text that was moved.

    Attributes:
        weight_: w, as unit rows (C, D).
    """

    learned: ClassVar[tuple[str, ...]] = ("weight_",)

    weight_: Floats

    logit_scale: float

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(features, self.weight_, self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_cosines(features, self.weight_, self.logit_scale)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Fit once for every alpha that is tried."""
        choose_by_refit(head, support, rows, "alpha")
        return head


class SSText(MovedText, ClosedForm):
    """SS-Text.

    Args:
        alpha: residual ratio of the shots; 0 is zero-shot, 1 the authors'.
        variant: "ss-text" or "ss-text+".
        logit_scale: the encoder's scale s.
    """

    method: ClassVar[str] = "ss-text"
    source: ClassVar[str] = "SS-Text, IPMI 2025 and MICCAI 2025, released code"
    trains: ClassVar[str] = "nothing; class text plus sums of shots"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "closed form from one shot on, also where classes have unequally many"

    def __init__(self, *, alpha: Alpha = 0.1, variant: Variant = "ss-text+", logit_scale: float = 100.0) -> None:
        self.alpha = alpha
        self.variant = variant
        self.logit_scale = logit_scale

    def _fit(self, support: Support) -> None:
        text = support.text.astype(np.float64)
        share = counts(support) / len(support.labels) if self.variant == "ss-text+" else 1.0
        moved = self.logit_scale * share * sums(support)
        if self.variant == "ss-text+":
            moved = moved - _pushed(text + moved)
        self.weight_ = unit((text + self.alpha * moved).astype(np.float32)) if self.alpha else support.text


def sums(support: Support) -> Doubles:
    """The sum (C, D) of each class's unit rows, the views of an image averaged first."""
    found = np.zeros(support.text.shape)
    np.add.at(found, support.labels, support.means)
    return found


def counts(support: Support) -> Doubles:
    """Rows of each class (C, 1)."""
    return np.bincount(support.labels, minlength=len(support.text)).astype(np.float64)[:, None]


def _pushed(weight: Doubles) -> Doubles:
    """The unit direction (C, D) in which each row of a weight lies from the common mean."""
    return unit_doubles(2 * weight - weight.mean(0))


def unit_doubles(rows: Doubles) -> Doubles:
    """Rows (n, D) over their length, in double precision; a zero row stays zero."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
