"""Gated bottlenecks on image and text, with one way up for both.

    h_f = GELU(W_f f),   h_t = GELU(W_t t_c)                                 down, from D to r
    g_f = sigmoid(a_f . [h_f; h_t] + b_f),   g_t = sigmoid(a_t . [h_f; h_t] + b_t)
    f'  = n(f + alpha g_f U h_f),   t'_c = n(t_c + alpha g_t U h_t)          n(x) = x / |x|
    logits_c = s f' . t'_c

Image and text have a bottleneck each and share U (D, r), which starts at 0: untrained, and at alpha = 0, this is
zero-shot. The gates look at an image and a class together, so that both rows depend on the pair. Rows of pairs are
never formed: with u = U h_f and w = U h_t,

    f' . t'_c = (f.t + alpha g_f u.t + alpha g_t f.w + alpha^2 g_f g_t u.w) / (|f + alpha g_f u| |t + alpha g_t w|)
    |f + alpha g u|^2 = 1 + 2 alpha g f.u + alpha^2 g^2 |u|^2,   and so for the text.

The idea of a gated adapter for each modality, of which the projection is shared, is that of CROME (Ebrahimi et al.,
arXiv 2408.06610), which puts it before a language model. Taken are the gate, the bottleneck and what is shared; sizes,
training, the residual ratio and the classification by cosine are our own, and none of its numbers belong to this head.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Annotated, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import gelu

from adapters.arrays import Floats
from adapters.parameters import AtLeast1, NotNegative, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.balance import Balance, Balanced
from adapters.training.differentiated import DifferentiatedHead, Weights, mean_cross_entropy, uniform

Alpha = Annotated[NotNegative, Tried(0.0, 0.1, 0.3, 1.0)]


class Gated(DifferentiatedHead):
    """Gated bottlenecks on image and text.

    Args:
        alpha: residual ratio of both modalities; 0 is zero-shot.
        reduction: D / r.
        lr: learning rate, falling along a cosine towards 0.
        weight_decay: weight decay (decoupled).
        batch_size: rows of a step.
        epochs: passes over the support; None: as few as make 200 steps, but no more than 200.
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        image_down_, text_down_: W_f and W_t (r, D).
        up_: U (D, r).
        image_gate_, text_gate_: a_f and a_t, followed by their b (1, 2 r + 1).
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "gated"
    source: ClassVar[str] = "idea of CROME, arXiv 2408.06610; not its method"
    trains: ClassVar[str] = "a gated bottleneck for images and one for texts"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "shots should correct images and texts, also of classes that were not trained on"
    learned: ClassVar[tuple[str, ...]] = ("image_down_", "text_down_", "up_", "image_gate_", "text_gate_")

    image_down_: Floats
    text_down_: Floats
    up_: Floats
    image_gate_: Floats
    text_gate_: Floats

    def __init__(
        self,
        *,
        alpha: Alpha = 1.0,
        reduction: AtLeast1 = 4,
        lr: NotNegative = 1e-4,
        weight_decay: NotNegative = 0.01,
        batch_size: AtLeast1 = 256,
        epochs: AtLeast1 | None = None,
        balance: Balanced = "logit",
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.reduction = reduction
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.balance = balance
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        width = max(1, dim // self.reduction)
        return 3 * width * dim + 2 * (2 * width + 1)

    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        width = max(1, dim // self.reduction)
        return {
            "image_down": uniform(width, dim, generator),
            "text_down": uniform(width, dim, generator),
            "up": torch.zeros(dim, width),
            "image_gate": torch.zeros(1, 2 * width + 1),
            "text_gate": torch.zeros(1, 2 * width + 1),
        }

    def _loss(self, support: Support) -> Callable[..., Tensor]:
        return gated_loss

    def _numbers(self) -> dict[str, float]:
        return {"alpha": self.alpha, "logit_scale": self.logit_scale}

    def _numbers_a_row(self, classes: int, dim: int) -> int:
        return max(classes, dim)

    def _stack_key(self, support: Support) -> Hashable:
        return super()._stack_key(support), self.reduction

    def _scored(self, weights: Weights, features: Tensor, text: Tensor) -> Tensor:
        return gated_logits(weights, features, text, **self._numbers())

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every alpha that is tried."""
        choose_by_refit(head, support, rows, "alpha")
        return head


def gated_loss(
    weights: Weights,
    features: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    alpha: Tensor,
    logit_scale: Tensor,
    balance: Balance | None = None,
) -> Tensor:
    """Cross-entropy (...)."""
    return mean_cross_entropy(
        gated_logits(weights, features, text, alpha=alpha, logit_scale=logit_scale), labels, balance
    )


def gated_logits(
    weights: Weights,
    features: Tensor,
    text: Tensor,
    *,
    alpha: Tensor | float,
    logit_scale: Tensor | float,
) -> Tensor:
    """Logits (..., B, C) of unit features (..., B, D) before unit text (..., C, D).

    Args:
        weights: see `Gated`.
        features: f.
        text: t.
        alpha: residual ratio, (..., 1, 1) where there are several.
        logit_scale: s, so too.
    """
    image, said = gelu(features @ weights["image_down"].mT), gelu(text @ weights["text_down"].mT)
    moved, words = alpha * image @ weights["up"].mT, alpha * said @ weights["up"].mT
    of_image, of_text = (_gate(weights[name], image, said) for name in ("image_gate", "text_gate"))
    product = features @ text.mT + of_image * (moved @ text.mT) + of_text * (features @ words.mT)
    product = product + of_image * of_text * (moved @ words.mT)
    image_norm = _squared_norm(features, moved, of_image, -1)
    text_norm = _squared_norm(text, words, of_text, -2)
    return logit_scale * product * (image_norm * text_norm).clamp_min(1e-12).rsqrt()


def _gate(weight: Tensor, image: Tensor, said: Tensor) -> Tensor:
    """A gate (..., B, C): what it says of the image, and of the class."""
    of_image, of_text, bias = weight[..., : image.shape[-1]], weight[..., image.shape[-1] : -1], weight[..., -1:]
    return torch.sigmoid(image @ of_image.mT + (said @ of_text.mT).mT + bias)


def _squared_norm(rows: Tensor, moved: Tensor, gate: Tensor, dim: int) -> Tensor:
    """|x + g u|^2 (..., B, C) of unit rows x (..., B or C, D); a row lies along the other axis of pairs, `dim`."""
    along, size = ((rows * moved).sum(-1).unsqueeze(dim), (moved * moved).sum(-1).unsqueeze(dim))
    return 1 + 2 * gate * along + gate * gate * size
