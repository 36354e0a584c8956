"""The attention of Multi-Modal Adapter over class texts and an image, and its training.

The equations are in `multi_modal_adapter`. No (C + 1) x (C + 1) attention per image is made: see `TextTokens` and
`adapted_logits`. The result is the plain formula's, to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, normalize

from adapters.training.loop import AdamW

CROSS_BIAS = 1.0
"""What the released mask adds to the attention logits of image-text pairs."""
BLOCK = 1 << 20
"""Numbers in the largest array that a block of rows makes: few enough to stay in the processor's cache."""

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
    query, key, value = projected.reshape(rows.shape[0], 3, heads, -1).permute(1, 2, 0, 3)
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
        # Sum over heads of (1 - share) pooled + share value: one product for every class and one for every image.
        # The shares of a head sum to 1, so the bias can be added to both of its terms.
        pooled, value = said.pooled + bias / heads, value + bias / heads
        texts = torch.bmm((1 - share).permute(2, 1, 0), pooled.permute(1, 0, 2)).transpose(0, 1)
        active = gelu(torch.baddbmm(texts, share.permute(1, 2, 0), value.permute(1, 0, 2)))  # (B, C, hidden)
    else:  # a text attends to the image alone, whatever its class
        active = gelu(value.sum(0) + bias)[:, None]  # (B, 1, hidden)
    square = torch.addmm(2 * (offset @ up), active.flatten(0, 1), up.T @ up).view_as(active)
    norm = ((square * active).sum(2) + offset @ offset).clamp_min(1e-24).sqrt()
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
    wide = len(text) * len(weights["up0_bias"])
    losses = torch.zeros(len(batches))
    for step, (features, labels) in enumerate(batches):
        leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        with torch.enable_grad():
            said = TextTokens.of(leaves, text, heads)
        # The text side is shared by the blocks of a batch: its gradient is summed over them and taken back once.
        shared = [*said.tokens, said.mass, said.pooled]
        cut = [tensor.detach().requires_grad_() for tensor in shared]
        wanted = [*leaves.values(), *cut]
        gradients = [torch.zeros_like(tensor) for tensor in wanted]
        for rows in torch.split(torch.arange(len(labels), device=text.device), max(1, BLOCK // wide)):
            with torch.enable_grad():
                logits = adapted_logits(
                    leaves,
                    features[rows],
                    TextTokens(text, Tokens(*cut[:3]), *cut[3:]),
                    mask=mask,
                    heads=heads,
                    alpha=alpha,
                    adapt_text=adapt_text,
                    logit_scale=logit_scale,
                )
                loss = cross_entropy(logits, labels[rows], reduction="sum") / len(labels)
            losses[step] += loss.item()
            for total, part in zip(gradients, torch.autograd.grad(loss, wanted, allow_unused=True), strict=True):
                if part is not None:  # none where the mask or the variant leaves a part of the text side out
                    total += part
        back = torch.autograd.grad(shared, list(leaves.values()), gradients[len(leaves) :], allow_unused=True)
        gradients = [g if b is None else g + b for g, b in zip(gradients[: len(leaves)], back, strict=True)]
        for optimizer, gradient in zip(optimizers, gradients, strict=True):
            optimizer.step(gradient + weight_decay * optimizer.weight, lr)
    return losses
