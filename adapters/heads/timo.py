"""TIMO: class text guided by images, and a Gaussian discriminant helped by text.

    logits = s n(f) n(t')^T + alpha (n(f) W^T + b)
    t'_c = n(sum_t softmax_t(beta n(m_c))_t p_ct),    m_ct = p_ct v_c^T

Every prompt p_ct (unit) of a class is matched with the class's image prototype v_c, the unit mean of the support's keys
(views averaged raw, then normalised): m (C, T), whose rows n(m_c) have length 1. The class text t' weights the prompts
by it. W (C, D) and b (C,) are GDA-CLIP's discriminant of every view as a unit row, with m_ct p_ct of the best matching
prompts as further rows of their class; the list of prompts counts twice, so that up to 2 T may be asked for.

The released code multiplies the text by a ratio r and the discriminant by 1, on unscaled cosines; here alpha = s / r is
the ratio of the discriminant, which gives the same logits times s / r. `tuned` is TIMO-S.
Source: Li et al., Text and Image Are Mutually Beneficial (TIMO, arXiv 2412.11375).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from adapters.abilities import ClosedForm
from adapters.arrays import Floats, Ints, unit
from adapters.blended_head import BlendedHead
from adapters.head import cosine_logits
from adapters.heads.gda import Discriminant, discriminant, stacked_views
from adapters.heads.traced import traced_cosines, traced_sum
from adapters.parameters import AtLeast1, NotNegative
from adapters.selection.alpha_choice import Piece, lines, set_chosen
from adapters.selection.held_out import held_out_splits
from adapters.support import Rows, Support, class_means

if TYPE_CHECKING:
    from torch import Tensor

BETAS = tuple(float(beta) for beta in range(5, 101, 5))
"""TIMO-S's grid of the sharpness."""
PROMPT_STEPS = 10
"""How many numbers of prompts TIMO-S tries, from 1 to 2 T."""


class TIMO(BlendedHead, ClosedForm):
    """TIMO; TIMO-S where `tuned` chose its hyper-parameters.

    Where only class rows are given as text they are the only prompts, one a class, and t' is that text.

    Args:
        alpha: residual ratio of the discriminant; 0 is zero-shot with the image-guided text. The authors choose it on
            the validation split; the default is that of GDA-CLIP, whose discriminant this is.
        beta: sharpness of the weights of the prompts; 50 is the published TIMO.
        prompt_rows: how many prompts of a class become rows of it; None: all of its T, the published TIMO.
        logit_scale: the encoder's scale s.

    Attributes:
        guided_text_: t' (C, D).
        weight_: W (C, D).
        bias_: b (C,).
    """

    method: ClassVar[str] = "timo"
    source: ClassVar[str] = "TIMO, arXiv 2412.11375"
    trains: ClassVar[str] = "nothing; guided text and a Gaussian discriminant in closed form"
    needs: ClassVar[str] = "text, of several prompts a class to have any effect; views used if there"
    try_when: ClassVar[str] = "several prompts a class and four shots or more; below zero-shot at one shot"
    chosen_by_default: ClassVar[tuple[str, ...]] = ("alpha", "beta", "prompt_rows")
    learned: ClassVar[tuple[str, ...]] = ("guided_text_", "weight_", "bias_")

    guided_text_: Floats
    weight_: Floats
    bias_: Floats

    def __init__(
        self,
        *,
        alpha: NotNegative = 1.0,
        beta: NotNegative = 50.0,
        prompt_rows: AtLeast1 | None = None,
        logit_scale: float = 100.0,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.prompt_rows = prompt_rows
        self.logit_scale = logit_scale

    def _fit(self, support: Support) -> None:
        matched = MatchedPrompts(support)
        self.guided_text_ = matched.guided_text(self.beta)
        self.weight_, self.bias_ = matched.discriminant(self.prompt_rows)

    def _parts(self, features: Floats) -> tuple[Floats, Floats]:
        """Logits of the guided text and of the discriminant, both (N, C)."""
        base = cosine_logits(features, self.guided_text_, self.logit_scale)
        return base, features @ self.weight_.T + self.bias_

    def traced_logits(self, features: Tensor) -> Tensor:
        """See `adapters.abilities.Traced`."""
        base = traced_cosines(features, self.guided_text_, self.logit_scale)
        return base + self.alpha * traced_sum(features, self.weight_, self.bias_)

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """TIMO-S: beta by the guided text alone (the first best), then the number of prompts with every alpha."""
        splits = [(MatchedPrompts(kept), held) for kept, held in held_out_splits(support, rows)]
        beta = BETAS[int(beta_counts(splits).argmax())]
        numbers = prompt_numbers(max(matched.most for matched, _ in splits))
        set_chosen(head, lines(pieces(splits, beta, numbers, self.logit_scale)), ["beta", "prompt_rows"], rows)
        return head


class MatchedPrompts:
    """The prompts of every class, unit and matched with the class's images.

    Attributes:
        prompts: unit rows (C, T, D); zero where a class has fewer than T.
        there: which of them there are (C, T).
        matching: scores m (C, T); zero for a class without images.
        most: largest number of prompts of a class, T.
    """

    def __init__(self, support: Support) -> None:
        self.support = support
        raw = support.text[:, None] if support.prompts is None else support.prompts
        self.there: NDArray[np.bool_] = np.asarray(np.isfinite(raw).all(axis=2))
        self.prompts = unit(np.where(self.there[..., None], raw, np.float32(0)))
        prototypes = class_means(support.means, support.labels, len(support.classes))
        self.matching: Floats = np.einsum("ctd,cd->ct", self.prompts, prototypes)
        self.most = int(self.there.sum(1).max())

    def guided_text(self, beta: float) -> Floats:
        """Class text t' (C, D)."""
        if self.support.prompts is None:
            return self.support.text
        score = np.where(self.there, beta * unit(self.matching).astype(np.float64), -np.inf)
        weight = np.exp(score - score.max(1, keepdims=True))  # unit() divides by the sum of a soft-max anyway
        return unit(np.einsum("ct,ctd->cd", weight, self.prompts).astype(np.float32))

    def discriminant(self, number: int | None) -> Discriminant:
        """The discriminant with `number` prompts of every class as further rows; None: all of its prompts."""
        rows, labels = stacked_views(self.support)
        chosen, owners = self._best(self.most if number is None else number)
        return discriminant(np.concatenate([rows, chosen]), np.concatenate([labels, owners]), len(self.support.classes))

    def _best(self, number: int) -> tuple[Floats, Ints]:
        """The best matching prompts times their scores, and their classes; only of classes with images."""
        rows, owners = [], []
        for c in np.unique(self.support.labels):
            own = np.flatnonzero(self.there[c])
            order = own[np.argsort(-self.matching[c, own], kind="stable")]
            chosen = np.concatenate([order, order])[: min(number, 2 * len(own))]
            rows.append(self.prompts[c, chosen] * self.matching[c, chosen, None])
            owners.append(np.full(len(chosen), c))
        return np.concatenate(rows), np.concatenate(owners)


def prompt_numbers(prompts: int) -> list[int]:
    """TIMO-S's numbers of prompts: 10 values from 1 to twice the number of prompts T, rounded down."""
    return [int(number) for number in np.unique(np.linspace(1, 2 * prompts, PROMPT_STEPS).astype(int))]


def beta_counts(splits: list[tuple[MatchedPrompts, Rows]]) -> Ints:
    """Right answers of the guided text alone, for every sharpness of the grid."""
    counts = np.zeros(len(BETAS), dtype=np.int64)
    for matched, held in splits:
        counts += [
            int(((held.features @ matched.guided_text(beta).T).argmax(1) == held.labels).sum()) for beta in BETAS
        ]
    return counts


def pieces(
    splits: list[tuple[MatchedPrompts, Rows]], beta: float, numbers: list[int], logit_scale: float
) -> Iterator[Piece]:
    """Base and delta of the rows with every number of prompts, at one sharpness."""
    for matched, held in splits:
        base = cosine_logits(held.features, matched.guided_text(beta), logit_scale)
        for number in numbers:
            weight, bias = matched.discriminant(number)
            yield (beta, number), base, held.features @ weight.T + bias, held.labels
