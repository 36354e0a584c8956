"""Multi-Modal Adapter: masked attention over all class texts and the image adapts both.

For every image the tokens are the C class texts and the image, all unit rows x (D,):

    h = W_1 (W_0 x + b_0) + b_1          down to the attention's width d, nothing in between
    o = multi-head attention of h over the C + 1 tokens
    a = n(U GELU(V o + c) + e)           up again;  n(x) = x / |x|
    f' = n(alpha a_f + (1 - alpha) f),   t'_c = n(alpha a_c + (1 - alpha) t_c),   logits_c = s * f' . t'_c

so that t' depends on the image. Two masks, between which the logits differ by several units:

    additive  the released code: 1 is added to the attention logits of image-text pairs; nothing is masked
    cross     the paper: a token attends only to tokens of the other modality

Source: Seputis et al., Multi-Modal Adapter for Vision-Language Models (arXiv 2409.02958), and its released code (alpha
0.2, width 128, 4 heads, hidden 32, Adam, lr 5e-3, coupled weight decay 1e-4, batch 256).

No (C + 1) x (C + 1) attention per image is needed: see `TextTokens` and `adapted_logits`. The result is the plain
formula's to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, normalize

from adapters.arrays import Floats, Support
from adapters.base import Head, Rows, cosine_logits, require
from adapters.refit import choose_by_refit
from adapters.training import AdamW, epoch_batches, resolve_device, threads_for

MASKS = ("additive", "cross")
CROSS_BIAS = 1.0
"""What the released mask adds to the attention logits of image-text pairs."""
RATES = (1e-4, 1e-3, 1e-2)
"""Learning rates that `tuned` tries: those of the authors' search."""
STEPS = 100
"""Updates that `epochs=None` makes at least (and at most 200 epochs, the authors' limit)."""
BLOCK = 1 << 21
"""Numbers in the largest array that predicting a block of rows makes."""

Weights = Mapping[str, Tensor]


def initial_weights(dim: int, hidden: int, width: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights as PyTorch draws those of linear layers and of its multi-head attention; torch layout (out, in).

    Args:
        dim: D.
        hidden: width of the layers in between.
        width: width d of the attention.
        generator: source of the draws.
    """
    weights: dict[str, Tensor] = {}
    for name, out, inputs in (
        ("down0", hidden, dim),
        ("down1", width, hidden),
        ("in", 3 * width, width),
        ("out", width, width),
        ("up0", hidden, width),
        ("up1", dim, hidden),
    ):
        xavier = name == "in"
        bound = math.sqrt(6 / (out + inputs)) if xavier else 1 / math.sqrt(inputs)
        weights[name + "_weight"] = torch.empty(out, inputs).uniform_(-bound, bound, generator=generator)
        zero = xavier or name == "out"
        bias = torch.zeros(out) if zero else torch.empty(out).uniform_(-bound, bound, generator=generator)
        weights[name + "_bias"] = bias
    return weights


class Tokens(NamedTuple):
    """Queries (already divided by the root of their width), keys and values of R tokens, each (heads, R, d / heads)."""

    query: Tensor
    key: Tensor
    value: Tensor


def tokens(weights: Weights, rows: Tensor, heads: int) -> Tokens:
    """Project unit rows (R, D) down and to queries, keys and values."""
    down = rows @ weights["down0_weight"].T + weights["down0_bias"]
    down = down @ weights["down1_weight"].T + weights["down1_bias"]
    projected = down @ weights["in_weight"].T + weights["in_bias"]
    query, key, value = projected.reshape(len(rows), 3, heads, -1).permute(1, 2, 0, 3)
    return Tokens(query / math.sqrt(query.shape[-1]), key, value)


def outputs(weights: Weights, heads: int) -> tuple[Tensor, Tensor]:
    """The map from an attention output to the units before the GELU, per head (heads, d / heads, hidden), and its bias.

    The attention's output layer and the first layer up are linear, one after the other.
    """
    both = weights["up0_weight"] @ weights["out_weight"]
    per_head = both.reshape(len(both), heads, -1).permute(1, 2, 0)
    return per_head, weights["up0_weight"] @ weights["out_bias"] + weights["up0_bias"]


class TextTokens(NamedTuple):
    """What the text tokens contribute whatever the image is.

    A text token's soft-max over all tokens is its soft-max over the texts, and one more entry for the image: with
    L the log of the texts' summed exponentials and e the image's logit, the image gets sigmoid(e - L) and the texts
    share the rest as they did. So attention among the C texts is computed once, and an image costs O(C).
    """

    text: Tensor
    """Unit class text (C, D)."""
    tokens: Tokens
    mass: Tensor
    """L (heads, C)."""
    pooled: Tensor
    """What the texts alone give to the units before the GELU (heads, C, hidden)."""

    @classmethod
    def of(cls, weights: Weights, text: Tensor, heads: int) -> TextTokens:
        """The text side of every image."""
        said = tokens(weights, text, heads)
        scores = said.query @ said.key.transpose(1, 2)
        per_head, _ = outputs(weights, heads)
        return cls(text, said, torch.logsumexp(scores, 2), torch.softmax(scores, 2) @ (said.value @ per_head))


def adapted_logits(
    weights: Weights,
    features: Tensor,
    said: TextTokens,
    *,
    mask: str,
    heads: int,
    alpha: float,
    adapt_text: bool,
    logit_scale: float,
) -> Tensor:
    """Logits (B, C) of unit features (B, D).

    t' (B, C, D) is never made: with g the GELU's output and u = U g + e its image, |u| and the products of u with t_c
    and with f' are quadratic and linear in the few numbers of g.
    """
    seen, text = tokens(weights, features, heads), said.text
    per_head, bias = outputs(weights, heads)
    up, offset = weights["up1_weight"], weights["up1_bias"]
    value = seen.value @ per_head  # (heads, B, hidden)

    to_texts = seen.query @ said.tokens.key.transpose(1, 2)  # (heads, B, C)
    if mask == "additive":
        to_itself = (seen.query * seen.key).sum(2, keepdim=True)
        attention = torch.softmax(torch.cat([to_texts + CROSS_BIAS, to_itself], 2), 2)
        mixed = attention[:, :, :-1] @ (said.tokens.value @ per_head) + attention[:, :, -1:] * value
    else:
        mixed = torch.softmax(to_texts, 2) @ (said.tokens.value @ per_head)
    adapted = normalize(gelu(mixed.sum(0) + bias) @ up.T + offset, dim=1)
    image = normalize(alpha * adapted + (1 - alpha) * features, dim=1)
    cosines = image @ text.T
    if not adapt_text:
        return logit_scale * cosines

    if mask == "additive":
        share = torch.sigmoid(seen.key @ said.tokens.query.transpose(1, 2) + CROSS_BIAS - said.mass[:, None])
        # sum over heads of (1 - share) pooled + share value, as one product per class and one per image
        texts = torch.bmm((1 - share).permute(2, 1, 0), said.pooled.permute(1, 0, 2)).transpose(0, 1)
        hidden = texts + torch.bmm(share.permute(1, 2, 0), value.permute(1, 0, 2)) + bias
    else:  # a text attends to the image alone, whatever its class
        hidden = (value.sum(0) + bias)[:, None]
    active = gelu(hidden)  # (B, C or 1, hidden)
    square = ((active @ (up.T @ up)) * active).sum(2) + 2 * (active @ (up.T @ offset)) + offset @ offset
    norm = square.clamp_min(1e-24).sqrt()
    with_text = ((active * (text @ up)).sum(2) + text @ offset) / norm
    with_image = ((active @ (image @ up)[:, :, None])[:, :, 0] + (image @ offset)[:, None]) / norm
    own = (1 - alpha) ** 2 * (text * text).sum(1)
    length = (alpha**2 + own + 2 * alpha * (1 - alpha) * with_text).clamp_min(1e-12).sqrt()
    return logit_scale * (alpha * with_image + (1 - alpha) * cosines) / length


def train(
    weights: dict[str, Tensor],
    text: Tensor,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    mask: str,
    heads: int,
    alpha: float,
    adapt_text: bool,
    lr: float = 5e-3,
    weight_decay: float = 1e-4,
    logit_scale: float = 100.0,
) -> Tensor:
    """Train the weights in place with Adam at a constant rate, one step a batch.

    Args:
        weights: updated.
        text: unit class text (C, D).
        batches: unit features (B, D) and class codes (B,) of every step.
        mask: additive or cross.
        heads: attention heads.
        alpha: residual ratio.
        adapt_text: whether the text is adapted too.
        lr: learning rate.
        weight_decay: coupled, added to the gradient.
        logit_scale: s.

    Returns:
        The loss before every update (steps,).
    """
    optimizers = [AdamW(weight, weight_decay=0.0, eps=1e-8) for weight in weights.values()]
    losses = torch.zeros(len(batches))
    for step, (features, labels) in enumerate(batches):
        leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        with torch.enable_grad():
            logits = adapted_logits(
                leaves,
                features,
                TextTokens.of(leaves, text, heads),
                mask=mask,
                heads=heads,
                alpha=alpha,
                adapt_text=adapt_text,
                logit_scale=logit_scale,
            )
            loss = cross_entropy(logits, labels)
        losses[step] = loss.detach()
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        for optimizer, gradient in zip(optimizers, gradients, strict=True):
            optimizer.step(gradient + weight_decay * optimizer.weight, lr)
    return losses


class MultiModalAdapter(Head):
    """Multi-Modal Adapter with the released recipe as defaults, except for when it stops.

    The authors train up to 200 epochs and stop early on 16 further labelled images a class. No further labels are used
    here, and the last step is kept.

    Args:
        mask: additive (released code: 1 is added to image-text pairs, nothing is masked) or cross (paper: a token
            attends only to the other modality).
        adapt_text: false is the image-only variant: the same attention, the text left as it is.
        alpha: residual ratio of both modalities; 0 is zero-shot.
        width: width d of the attention.
        hidden: width of the layers that lead to it and from it.
        heads: attention heads; they divide the width.
        lr: learning rate, constant.
        weight_decay: weight decay (coupled).
        batch_size: rows of a step.
        epochs: passes over the support; None: as few as make 100 steps, but no more than 200.
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        weights_: every layer's weight and bias by name; see `initial_weights`.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "mma"
    source: ClassVar[str] = "Multi-Modal Adapter, arXiv 2409.02958"
    trains: ClassVar[str] = "attention over the class texts and the image"
    needs: ClassVar[str] = "text; views used if there"

    weights_: dict[str, Floats]

    def __init__(
        self,
        *,
        mask: str = "additive",
        adapt_text: bool = True,
        alpha: float = 0.2,
        width: int = 128,
        hidden: int = 32,
        heads: int = 4,
        lr: float = 5e-3,
        weight_decay: float = 1e-4,
        batch_size: int = 256,
        epochs: int | None = None,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.mask = mask
        self.adapt_text = adapt_text
        self.alpha = alpha
        self.width = width
        self.hidden = hidden
        self.heads = heads
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _check_parameters(self) -> None:
        require(self.mask in MASKS, "mask", self.mask, "additive or cross")
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "a ratio from 0 to 1")
        require(self.hidden >= 1, "hidden", self.hidden, "at least 1")
        require(self.heads >= 1, "heads", self.heads, "at least 1")
        expected = f"a positive multiple of heads={self.heads}"
        require(self.width >= 1 and self.width % self.heads == 0, "width", self.width, expected)
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.epochs is None or self.epochs >= 0, "epochs", self.epochs, "0 or more, or None")

    def _count(self, classes: int, dim: int, rows: int) -> int:
        hidden, width = self.hidden, self.width
        down = (dim + 1) * hidden + (hidden + 1) * width
        return down + 4 * width * (width + 1) + (width + 1) * hidden + (hidden + 1) * dim

    def _fit(self, support: Support) -> None:
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(self.seed)  # on the CPU: the same draws whatever the device
        drawn = initial_weights(support.text.shape[1], self.hidden, self.width, generator)
        weights = {name: weight.to(device) for name, weight in drawn.items()}
        views, labels, text = (
            torch.from_numpy(a).to(device) for a in (support.unit_views, support.labels, support.text)
        )
        plan = epoch_batches(len(labels), self.batch_size, self._epochs(len(labels)), generator, drop_last=False)
        steps = [rows.to(device) for epoch in plan for rows in epoch]
        drawn_views = torch.randint(views.shape[1], (len(steps),), generator=generator).tolist()
        with threads_for(min(self.batch_size, len(labels)) * len(text) * self.hidden):
            losses = train(
                weights,
                text,
                [(views[rows, view], labels[rows]) for rows, view in zip(steps, drawn_views, strict=True)],
                mask=self.mask,
                heads=self.heads,
                alpha=self.alpha,
                adapt_text=self.adapt_text,
                lr=self.lr,
                weight_decay=self.weight_decay,
                logit_scale=self.logit_scale,
            )
        self.losses_ = losses.numpy()
        self.weights_ = {name: weight.cpu().numpy() for name, weight in weights.items()}

    def _epochs(self, rows: int) -> int:
        if self.epochs is not None:
            return self.epochs
        return min(200, math.ceil(STEPS / math.ceil(rows / self.batch_size)))

    def _logits(self, features: Floats) -> Floats:
        if not self.alpha:  # nothing to blend, nor to normalise again: zero-shot, to the last bit
            return cosine_logits(features, self.text_, self.logit_scale)
        device = resolve_device(self.device)
        weights = {name: torch.from_numpy(weight).to(device) for name, weight in self.weights_.items()}
        wide = len(self.text_) * self.hidden
        with torch.inference_mode(), threads_for(min(BLOCK, len(features) * wide)):
            said = TextTokens.of(weights, torch.from_numpy(self.text_).to(device), self.heads)
            blocks = [
                adapted_logits(
                    weights,
                    block.to(device),
                    said,
                    mask=self.mask,
                    heads=self.heads,
                    alpha=self.alpha,
                    adapt_text=self.adapt_text,
                    logit_scale=self.logit_scale,
                ).cpu()
                for block in torch.split(torch.from_numpy(features), max(1, BLOCK // wide))
            ]
        return np.asarray(torch.cat(blocks))

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Try the authors' learning rates; see `choose_by_refit`."""
        head.set_params(lr=choose_by_refit(self, support, rows, "lr", RATES))
        return head

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"text_": self.text_, **self.weights_}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        super()._restore({"text_": arrays.pop("text_")}, classes)
        self.weights_ = arrays
