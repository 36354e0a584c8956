"""A mixture of encoders: a router says of each image how much each encoder's zero-shot answer counts.

The features are those of joined caches (`adapters.joining.joined_cache`): with the unit block f_m of encoder m, its
unit class texts t_mc and its logit scale s_m, and one expert for every encoder that has text,

    p_m(c) = softmax_c( s_m exp(τ_m - mean τ) f_m . t_mc )                     a temperature of each expert
    r      = softmax( R [f_1; ...; f_M] + b )                                  the router, R (E, ΣD)
    g      = r on the k largest of r (all that are as large as the k-th), over their sum; 0 elsewhere
    p(c)   = Σ_m g_m p_m(c)                                                    probabilities are mixed, not logits
    logits = z + alpha (log p - z),                                            z the zero-shot logits of the join
    loss   = mean cross-entropy + load_balance E Σ_m P_m Q_m

where P_m is the mean of r_m over a batch, and Q_m the share of its images that are routed to m: of all g > 0 those of
m, or where every expert answers for every image the share of images whose largest r is m's. R, b and τ start at 0:
untrained, all experts count alike. At alpha = 0, and with one encoder, this is zero-shot: then p is its soft-max, and
log p - z the same for every class. An encoder without text is seen by the router and is no expert.

Experts behind a router, the k largest kept, and the loss that keeps all of them in use are the idea of CLIP-MoE (Zhang
et al., arXiv 2409.19291), which puts four MLPs in the place of one in every block of CLIP and trains it on image-text
pairs; the balance is that of Switch Transformers (Fedus et al., arXiv 2101.03961). Here whole frozen encoders are the
experts; none of their numbers belong to this head.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from adapters.arrays import Block, Floats
from adapters.parameters import AtLeast1, Count, NotNegative, Ratio, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.differentiated import Course, DifferentiatedHead, Weights, mean_cross_entropy

Alpha = Annotated[Ratio, Tried(0.0, 0.5, 1.0)]


class Mixture(DifferentiatedHead):
    """A routed mixture of encoders.

    Args:
        alpha: residual ratio, from zero-shot of the joined caches (0) to the mixture (1).
        top_k: experts that answer for an image; 0, or as many as there are: all of them.
        load_balance: weight of the loss that keeps all experts in use.
        lr: learning rate, falling along a cosine towards 0.
        weight_decay: weight decay (decoupled).
        batch_size: rows of a step.
        epochs: passes over the support; None: as few as make 200 steps, but no more than 200.
        logit_scale: the scale of the joined text, of which each encoder's is a share.
        seed: seed of shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        router_, router_bias_: R (E, ΣD) and b (1, E).
        log_temperature_: τ (1, E).
        blocks_: width and share of the scale of every encoder (M, 2).
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "mixture"
    source: ClassVar[str] = "idea of CLIP-MoE, arXiv 2409.19291; not its method"
    trains: ClassVar[str] = "a router over the encoders of joined caches"
    needs: ClassVar[str] = "text, and a second cache; views used if there"
    try_when: ClassVar[str] = "two or more encoders that are good at different images; with one it is zero-shot"
    learned: ClassVar[tuple[str, ...]] = ("router_", "router_bias_", "log_temperature_")

    router_: Floats
    router_bias_: Floats
    log_temperature_: Floats
    blocks_: Floats

    def __init__(
        self,
        *,
        alpha: Alpha = 0.5,
        top_k: Count = 2,
        load_balance: NotNegative = 0.01,
        lr: NotNegative = 1e-2,
        weight_decay: NotNegative = 0.01,
        batch_size: AtLeast1 = 256,
        epochs: AtLeast1 | None = None,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.top_k = top_k
        self.load_balance = load_balance
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return dim + 2  # an expert; `parameters_` knows how many there are

    @property
    def parameters_(self) -> int:
        """How many numbers were trained."""
        return super().parameters_ * len(self._experts)

    def _plan(self, support: Support) -> Course:
        self.blocks_ = np.array(support.blocks or [(support.text.shape[1], 1.0)], np.float32)
        return super()._plan(support)

    @property
    def _blocks(self) -> tuple[Block, ...]:
        return tuple(Block(int(width), float(scale)) for width, scale in self.blocks_.tolist())

    @property
    def _experts(self) -> list[int]:
        return [place for place, block in enumerate(self._blocks) if block.scale]

    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        experts = len(self._experts)
        return {
            "router": torch.zeros(experts, dim),
            "router_bias": torch.zeros(1, experts),
            "log_temperature": torch.zeros(1, experts),
        }

    def _loss(self, support: Support) -> Callable[..., Tensor]:
        return partial(mixture_loss, blocks=self._blocks, top_k=self.top_k)

    def _numbers(self) -> dict[str, float]:
        return {"alpha": self.alpha, "load_balance": self.load_balance, "logit_scale": self.logit_scale}

    def _numbers_a_row(self, classes: int, dim: int) -> int:
        return max(len(self._experts) * classes, dim)

    def _stack_key(self, support: Support) -> Hashable:
        return super()._stack_key(support), support.blocks, self.top_k

    def _scored(self, weights: Weights, features: Tensor, text: Tensor) -> Tensor:
        return mixed(
            weights,
            features,
            text,
            alpha=self.alpha,
            logit_scale=self.logit_scale,
            blocks=self._blocks,
            top_k=self.top_k,
        ).logits

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**super()._arrays(), "blocks_": self.blocks_}

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every alpha that is tried."""
        choose_by_refit(head, support, rows, "alpha")
        return head


class Mixed(NamedTuple):
    """What experts and router make of images."""

    logits: Tensor
    """(..., B, C)."""
    routed: Tensor
    """What the router says, r (..., B, E)."""
    shares: Tensor
    """What of the answer each expert has, g (..., B, E)."""


def mixture_loss(
    weights: Weights,
    features: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    alpha: Tensor,
    load_balance: Tensor,
    logit_scale: Tensor,
    blocks: Sequence[Block],
    top_k: int,
) -> Tensor:
    """Cross-entropy (...), and how unevenly experts are used."""
    found = mixed(weights, features, text, alpha=alpha, logit_scale=logit_scale, blocks=blocks, top_k=top_k)
    experts = found.routed.shape[-1]
    if 0 < top_k < experts:
        used = 1.0 * (found.shares > 0)
    else:
        used = 1.0 * (found.routed == found.routed.amax(-1, keepdim=True))
    slots = used.sum(-2) / used.sum((-2, -1)).unsqueeze(-1)
    uneven = experts * (found.routed.mean(-2) * slots).sum(-1)
    return mean_cross_entropy(found.logits, labels) + load_balance[..., 0, 0] * uneven


def mixed(
    weights: Weights,
    features: Tensor,
    text: Tensor,
    *,
    alpha: Tensor | float,
    logit_scale: Tensor | float,
    blocks: Sequence[Block],
    top_k: int,
) -> Mixed:
    """The answer to unit rows x (..., B, ΣD) before unit class texts t (..., C, ΣD).

    Args:
        weights: see `Mixture`.
        features: x.
        text: t.
        alpha: residual ratio, (..., 1, 1) where there are several.
        logit_scale: of the whole, so too.
        blocks: the encoders.
        top_k: see `Mixture`.
    """
    widths = [block.width for block in blocks]
    images = [normalize(part, dim=-1) for part in torch.split(features, widths, -1)]
    texts = [normalize(part, dim=-1) for part in torch.split(text, widths, -1)]
    tau = weights["log_temperature"]
    scales = torch.exp(tau - tau.mean(-1, keepdim=True)).unsqueeze(-1).unbind(-2)
    speaking = [place for place, block in enumerate(blocks) if block.scale]
    answers = [
        torch.log_softmax(logit_scale * blocks[place].scale * scale * (images[place] @ texts[place].mT), -1)
        for place, scale in zip(speaking, scales, strict=True)
    ]
    routed = torch.log_softmax(torch.cat(images, -1) @ weights["router"].mT + weights["router_bias"], -1)
    shares = routed
    if 0 < top_k < len(speaking):
        least = routed.topk(top_k, -1).values[..., -1:]
        shares = torch.log_softmax(routed.masked_fill(routed < least, -torch.inf), -1)
    said = torch.logsumexp(shares.unsqueeze(-1) + torch.stack(answers, -2), -2)
    zero_shot = logit_scale * (features @ text.mT)
    return Mixed(zero_shot + alpha * (said - zero_shot), routed.exp(), shares.exp())
