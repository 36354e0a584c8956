"""Zero-shot CLIP: the baseline that stands beside every head.

    logits = s * n(f) n(t_c)^T

with image feature f (D,), class text t_c (D,), n(x) = x / |x| and the encoder's logit scale s. Nothing is learned.
Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from adapters.abilities import ClosedForm
from adapters.arrays import Floats
from adapters.head import cosine_logits
from adapters.heads.traced import traced_cosines
from adapters.support import Support

if TYPE_CHECKING:
    from torch import Tensor


class ZeroShot(ClosedForm):
    """Cosine to the class text. `fit` only keeps the text; without text it is the nearest class mean.

    Args:
        logit_scale: the encoder's scale s, for probabilities; it never changes the prediction.

    Attributes:
        has_text_: whether `fit` was given text; if not, `text_` holds the class means, and `prediction_note` says so.
    """

    method: ClassVar[str] = "zero-shot"
    source: ClassVar[str] = "CLIP, arXiv 2103.00020"
    trains: ClassVar[str] = "nothing"
    needs: ClassVar[str] = "text"
    try_when: ClassVar[str] = "no labels; what every other has to beat"

    has_text_: bool

    def __init__(self, *, logit_scale: float = 100.0) -> None:
        self.logit_scale = logit_scale

    def _fit(self, support: Support) -> None:
        self.has_text_ = support.has_text

    def prediction_note(self, X: Any) -> str:
        """That there is no class text in it, where `fit` was given none."""
        if self.has_text_:
            return ""
        return "fitted without text: each class is the mean of its images, which is no zero-shot"

    def _facts(self) -> dict[str, Any]:
        return {"has_text": self.has_text_}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        super()._restore(arrays, classes)
        self.has_text_ = bool(getattr(self, "config", {}).get("has_text", True))

    def for_classes(self, text: Any) -> Self:
        """Zero-shot of other classes."""
        return self._with_text(text)

    def prototypes(self) -> Floats:
        """The class text."""
        return self.text_

    def _logits(self, features: Floats) -> Floats:
        return cosine_logits(features, self.text_, self.logit_scale)

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        return traced_cosines(features, self.text_, self.logit_scale)
