"""Class texts as instructions: one transformer layer over the image and the texts of the classes.

Tokens are the unit image row x_0 = f and the unit class texts x_c = t_c (D each). One pre-norm layer gives

    y = x + W_o MHA(LN(x)),   z = W_o MHA(LN(x)) + W_2 GELU(W_1 LN(y) + b_1) + b_2        LN without gain and bias
    f' = n(f + alpha z_0),    t'_c = n(t_c + alpha z_c),    logits_c = s f' . t'_c         n(x) = x / |x|
    loss = mean_i cross-entropy_i + align (1 - f'_i . t_{y_i})

with heads of width D / H in MHA. W_o, W_2 and b_2 start at 0: untrained, and at alpha = 0, this is zero-shot. The image
attends to all tokens. With `mask="cross"` a class attends to the image and to itself, so that adding a class changes
no other; with "none" classes attend to each other too.

That class texts go as tokens beside the image through attention, and that the image is aligned to its text by cosine
beside cross-entropy, is the idea of Instruction-ViT (Xiao et al., arXiv 2305.00201), which trains a whole ViT with
prompt tokens at its input. Here one layer stands behind two frozen encoders; none of its numbers belong to this head.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, normalize

from adapters.arrays import Floats
from adapters.parameters import AtLeast1, NotNegative, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.balance import Balance, Balanced
from adapters.training.differentiated import DifferentiatedHead, Weights, mean_cross_entropy, uniform

Mask = Literal["cross", "none"]
Alpha = Annotated[NotNegative, Tried(0.0, 0.1, 0.3, 1.0)]


class Instruct(DifferentiatedHead):
    """One transformer layer over the image and the class texts.

    A class token passes the layer once for every image: C images' worth of work an image. With hundreds of classes use
    a GPU, or another head.

    Args:
        alpha: residual ratio of image and texts; 0 is zero-shot.
        mask: cross (a class attends to the image and itself) or none (to the other classes too).
        align: weight of the cosine between an image and its class's text in the loss.
        heads: attention heads H; where they do not divide D, the most below that do.
        lr: learning rate, falling along a cosine towards 0.
        weight_decay: weight decay (decoupled).
        batch_size: rows of a step.
        epochs: passes over the support; None: as few as make 200 steps, but no more than 200.
        balance: of classes with unequal numbers of shots, in the loss: none, loss or logit (`training.balance`).
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        query_, key_, value_, out_: matrices of the attention (D, D).
        hidden_, hidden_bias_: W_1 (2 D, D) and b_1 (1, 2 D).
        lift_, lift_bias_: W_2 (D, 2 D) and b_2 (1, D).
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "instruct"
    source: ClassVar[str] = "idea of Instruction-ViT, arXiv 2305.00201; not its method"
    trains: ClassVar[str] = "a transformer layer over the image and the class texts"
    needs: ClassVar[str] = "text; views used if there"
    try_when: ClassVar[str] = "few classes, of which others have to be recognised too; slow with hundreds"
    learned: ClassVar[tuple[str, ...]] = (
        "query_",
        "key_",
        "value_",
        "out_",
        "hidden_",
        "hidden_bias_",
        "lift_",
        "lift_bias_",
    )

    query_: Floats
    key_: Floats
    value_: Floats
    out_: Floats
    hidden_: Floats
    hidden_bias_: Floats
    lift_: Floats
    lift_bias_: Floats

    def __init__(
        self,
        *,
        alpha: Alpha = 1.0,
        mask: Mask = "cross",
        align: NotNegative = 1.0,
        heads: AtLeast1 = 4,
        lr: NotNegative = 3e-5,
        weight_decay: NotNegative = 0.01,
        batch_size: AtLeast1 = 32,
        epochs: AtLeast1 | None = None,
        balance: Balanced = "logit",
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.mask = mask
        self.align = align
        self.heads = heads
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.balance = balance
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return 8 * dim * dim + 3 * dim

    def _heads(self, dim: int) -> int:
        return next(heads for heads in range(min(self.heads, dim), 0, -1) if dim % heads == 0)

    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            **{name: uniform(dim, dim, generator) for name in ("query", "key", "value")},
            "out": torch.zeros(dim, dim),
            "hidden": uniform(2 * dim, dim, generator),
            "hidden_bias": torch.zeros(1, 2 * dim),
            "lift": torch.zeros(dim, 2 * dim),
            "lift_bias": torch.zeros(1, dim),
        }

    def _loss(self, support: Support) -> Callable[..., Tensor]:
        return partial(instruct_loss, heads=self._heads(support.text.shape[1]), mask=self.mask)

    def _numbers(self) -> dict[str, float]:
        return {"alpha": self.alpha, "align": self.align, "logit_scale": self.logit_scale}

    def _numbers_a_row(self, classes: int, dim: int) -> int:
        return 2 * dim * (classes + 1)

    def _stack_key(self, support: Support) -> Hashable:
        return super()._stack_key(support), self.heads, self.mask

    def _scored(self, weights: Weights, features: Tensor, text: Tensor) -> Tensor:
        image, said = instructed(
            weights, features, text, self.alpha, heads=self._heads(self.n_features_in_), mask=self.mask
        )
        return self.logit_scale * (said @ image[..., None])[..., 0]

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every alpha that is tried."""
        choose_by_refit(head, support, rows, "alpha")
        return head


def instruct_loss(
    weights: Weights,
    features: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    alpha: Tensor,
    align: Tensor,
    logit_scale: Tensor,
    heads: int,
    mask: Mask,
    balance: Balance | None = None,
) -> Tensor:
    """Cross-entropy (...), and how far images are from their texts."""
    image, said = instructed(weights, features, text, alpha, heads=heads, mask=mask)
    logits = logit_scale * (said @ image[..., None])[..., 0]
    own = text.gather(-2, labels[..., None].expand(*labels.shape, text.shape[-1]))
    apart = 1 - (image * own).sum(-1).mean(-1)
    return mean_cross_entropy(logits, labels, balance) + align[..., 0, 0] * apart


def instructed(
    weights: Weights, features: Tensor, text: Tensor, alpha: Tensor | float, *, heads: int, mask: Mask
) -> tuple[Tensor, Tensor]:
    """The adapted image f' (..., B, D) and, for each image, class texts t' (..., B, C, D); all unit rows.

    What the attention takes of the class texts does not depend on the image and is computed once.

    Args:
        weights: see `Instruct`.
        features: unit rows f (..., B, D).
        text: unit rows t (..., C, D).
        alpha: residual ratio, (..., 1, 1) where there are several.
        heads: of the attention, H.
        mask: see `Instruct`.
    """
    dim, root = text.shape[-1], (text.shape[-1] / heads) ** 0.5
    image, said = layer_norm(features, (dim,)), layer_norm(text, (dim,))
    (query, key, value), (asked, keys, values) = (
        [_by_head(rows @ weights[name].mT, heads) for name in ("query", "key", "value")] for rows in (image, said)
    )
    # The image asks itself and all classes: (..., H, B, 1 + C).
    seen = torch.softmax(torch.cat([(query * key).sum(-1, keepdim=True), query @ keys.mT], -1) / root, -1)
    moved = _layer(weights, features, _merged(seen[..., :1] * value + seen[..., 1:] @ values))
    # A class asks the image, and itself or all classes: (..., H, B, C, 1 + 1) or (..., H, B, C, 1 + C).
    of_image = (key @ asked.mT)[..., None]
    among = (asked * keys).sum(-1, keepdim=True) if mask == "cross" else asked @ keys.mT
    both = torch.cat([of_image, among.unsqueeze(-3).expand(*of_image.shape[:-1], among.shape[-1])], -1)
    share, values = torch.softmax(both / root, -1), values.unsqueeze(-3)
    found = share[..., 1:] * values if mask == "cross" else share[..., 1:] @ values
    found = found + share[..., :1] * value.unsqueeze(-2)
    pairs = text.unsqueeze(-3).expand(*features.shape[:-1], *text.shape[-2:])
    words = _layer(weights, pairs.flatten(-3, -2), _merged(found.flatten(-3, -2)))
    adapted = normalize(pairs.flatten(-3, -2) + alpha * words, dim=-1)
    return normalize(features + alpha * moved, dim=-1), adapted.reshape(pairs.shape)


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """Rows (..., N, D) by head (..., H, N, D / H)."""
    return rows.reshape(*rows.shape[:-1], heads, -1).movedim(-2, -3)


def _merged(rows: Tensor) -> Tensor:
    """Rows by head (..., H, N, D / H) side by side (..., N, D)."""
    return rows.movedim(-3, -2).flatten(-2)


def _layer(weights: Weights, tokens: Tensor, attended: Tensor) -> Tensor:
    """What the layer adds to tokens, z (..., N, D), given what the heads of its attention found (..., N, D)."""
    said = attended @ weights["out"].mT
    hidden = gelu(layer_norm(tokens + said, tokens.shape[-1:]) @ weights["hidden"].mT + weights["hidden_bias"])
    return said + hidden @ weights["lift"].mT + weights["lift_bias"]
