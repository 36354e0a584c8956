"""Cross-attention of a class's prompts over its shots and of images over prompts, and how far predictions disagree."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from adapters.training.differentiated import Weights, mean_cross_entropy


class Attended(NamedTuple):
    """Logits of images before classes."""

    logits: Tensor
    """(..., B, C)."""
    by_prompt: Tensor
    """Likewise, with one prompt for the text of each class (..., B, C, T)."""


def attended(
    weights: Weights,
    features: Tensor,
    text: Tensor,
    prompts: Tensor,
    memory: Tensor,
    *,
    alpha: Tensor | float,
    logit_scale: Tensor | float,
) -> Attended:
    """Logits of unit features f (..., B, D); see `Consistency` for the equations.

    Rows f' of pairs are never formed: with h = h_{f,c} (r,), |f + alpha U_f h|^2 = 1 + 2 alpha h . U_f^T f +
    alpha^2 h^T U_f^T U_f h.

    Args:
        weights: see `Consistency`.
        features: f.
        text: unit class text t (..., C, D).
        prompts: unit rows p (..., C, T, D).
        memory: unit views of the shots m (..., C, S, D); zero where a class has fewer than S.
        alpha: residual ratio, (..., 1, 1) where there are several.
        logit_scale: s, so too.
    """
    deep = alpha[..., None] if isinstance(alpha, Tensor) else alpha  # beside tensors with an axis more
    root = weights["query"].shape[-2] ** 0.5
    known = (memory != 0).any(-1).unsqueeze(-2)
    scores = _by_class(prompts, weights["query"]) @ _by_class(memory, weights["key"]).mT / root
    share = torch.softmax(scores.masked_fill(~known, -1e9), -1) * known  # a class without shots finds nothing
    moved = _by_class(share @ _by_class(memory, weights["value"]), weights["text_up"])
    said = normalize(text + alpha * moved.mean(-2), dim=-1)
    variants = normalize(prompts + deep * moved, dim=-1)

    keys = _by_class(prompts, weights["key"])
    asked = _before_all(features @ weights["query"].mT, keys)
    share = torch.softmax(asked / root, -1)
    found = torch.einsum("...bct,...ctr->...bcr", share, _by_class(prompts, weights["value"]))
    up = weights["image_up"]
    along = (found * (features @ up).unsqueeze(-2)).sum(-1)
    size = (found @ (up.mT @ up).unsqueeze(-3) * found).sum(-1)
    scale = logit_scale * (1 + 2 * alpha * along + alpha * alpha * size).clamp_min(1e-12).rsqrt()
    to_text = features @ said.mT + alpha * (found * (said @ up).unsqueeze(-3)).sum(-1)
    to_variants = _before_all(features, variants) + deep * torch.einsum(
        "...bcr,...ctr->...bct", found, _by_class(variants, up.mT)
    )
    return Attended(scale * to_text, scale[..., None] * to_variants)


def consistency_loss(
    weights: Weights,
    features: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    alpha: Tensor,
    agree_views: Tensor,
    agree_prompts: Tensor,
    logit_scale: Tensor,
    prompts: int,
    views: bool,
) -> Tensor:
    """Cross-entropy (...), and how far predictions of views and of prompts are from each other.

    Args:
        weights: see `Consistency`.
        features: unit rows (..., B, D); with views, the second half are other views of the images of the first.
        labels: class codes (..., B).
        text: class text, prompts and memory of each class, one behind the other (..., C, 1 + T + S, D).
        alpha: residual ratio (..., 1, 1).
        agree_views: weight of agreement between views, so too.
        agree_prompts: weight of agreement between prompts, so too.
        logit_scale: s, so too.
        prompts: T.
        views: whether there are two of each image.
    """
    said, variants, memory = text[..., 0, :], text[..., 1 : 1 + prompts, :], text[..., 1 + prompts :, :]
    found = attended(weights, features, said, variants, memory, alpha=alpha, logit_scale=logit_scale)
    loss = mean_cross_entropy(found.logits, labels)
    if views:
        first, second = torch.log_softmax(found.logits, -1).chunk(2, -2)
        loss = loss + agree_views[..., 0, 0] * _apart(first, second).mean(-1)
    if prompts > 1:
        each = torch.log_softmax(found.by_prompt, -2).movedim(-1, -3)  # (..., T, B, C)
        loss = loss + agree_prompts[..., 0, 0] * _apart(each, each.roll(1, -3)).mean((-2, -1))
    return loss


def _apart(first: Tensor, second: Tensor) -> Tensor:
    """Half of KL(p, q) + KL(q, p) (...) of log-probabilities (..., C); what the other is compared with stays put."""
    forth = (first.detach().exp() * (first.detach() - second)).sum(-1)
    back = (second.detach().exp() * (second.detach() - first)).sum(-1)
    apart: Tensor = (forth + back) / 2
    return apart


def _by_class(rows: Tensor, weight: Tensor) -> Tensor:
    """Rows (..., C, n, in) through a matrix (..., out, in): (..., C, n, out)."""
    return (rows.flatten(-3, -2) @ weight.mT).reshape(*rows.shape[:-1], weight.shape[-2])


def _before_all(rows: Tensor, others: Tensor) -> Tensor:
    """Products (..., B, C, n) of rows (..., B, D) with rows of classes (..., C, n, D)."""
    return (rows @ others.flatten(-3, -2).mT).reshape(*rows.shape[:-1], *others.shape[-3:-1])
