"""Prompts that look at shots and images that look at prompts, trained to agree across views and across prompts.

A class c has text t_c (D), prompts p_{c,1..T} and the views m_{c,1..S} of its shots, f is an image; all unit rows. With
n(x) = x / |x| and attention at width r,

    a_{c,t} = sum_s softmax_s(W_q p_{c,t} . W_k m_{c,s} / sqrt(r)) W_v m_{c,s}           prompts over shots
    h_{f,c} = sum_t softmax_t(W_q f . W_k p_{c,t} / sqrt(r)) W_v p_{c,t}                 an image over prompts
    p'_{c,t} = n(p_{c,t} + alpha U_t a_{c,t}),    t'_c = n(t_c + alpha U_t mean_t a_{c,t})
    f'_c = n(f + alpha U_f h_{f,c}),    logits_c = s f'_c . t'_c,    logits^t_c = s f'_c . p'_{c,t}

U_t and U_f (D, r) start at 0: untrained, and at alpha = 0, this is zero-shot. With p the soft-max of logits,

    loss = mean cross-entropy + agree_views A(p(view a), p(view b)) + agree_prompts mean_t A(p^t, p^{t+1})
    A(p, q) = (KL(p, q) + KL(q, p)) / 2, the first of each pair without gradient

A step sees two views of each of its images, and compares each prompt with the next, the last with the first. A shot in
training is among what its own class looks at. For classes that were not trained on, prompts look at no shots.

That text and image attend to each other, and that views and prompts are trained to agree, is the idea of APoLLo
(Chowdhury et al., arXiv 2312.01564), which learns prompts and adapters inside both encoders, with prompts of a language
model and pictures of a diffusion model. Here both encoders are frozen and their outputs cached; none of its numbers
belong to this head.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from adapters.arrays import Floats, text_prompts, unit
from adapters.errors import AdapterError
from adapters.heads.consistency.attention import attended, consistency_loss
from adapters.parameters import AtLeast1, NotNegative, Tried
from adapters.selection.refit import choose_by_refit
from adapters.support import Rows, Support
from adapters.training.differentiated import DifferentiatedHead, Weights, uniform
from adapters.training.loop import views_in_turn

Alpha = Annotated[NotNegative, Tried(0.0, 0.1, 0.3, 1.0)]
MOST_PROMPTS = 8
"""Of more prompts a class, so many are taken, evenly spread."""


class Consistency(DifferentiatedHead):
    """Cross-attention of prompts and views, trained to agree.

    It needs two views of each image or two prompts of each class; with both weights of agreement at 0 it needs neither.

    Args:
        alpha: residual ratio of images and texts; 0 is zero-shot.
        agree_views: weight of agreement between two views of an image.
        agree_prompts: weight of agreement between prompts of a class.
        reduction: D / r.
        lr: learning rate, falling along a cosine towards 0.
        weight_decay: weight decay (decoupled).
        batch_size: images of a step.
        epochs: passes over the support; None: as few as make 200 steps, but no more than 200.
        logit_scale: the encoder's scale s.
        seed: seed of initial weights, shuffles and views.
        device: auto, cpu, cuda or mps.

    Attributes:
        query_, key_, value_: W_q, W_k and W_v (r, D).
        text_up_, image_up_: U_t and U_f (D, r).
        prompts_: p (C, T, D).
        memory_: m (C, S, D); rows of zeros where a class has fewer views than S.
        losses_: training loss of every step; not saved.
    """

    method: ClassVar[str] = "consistency"
    source: ClassVar[str] = "idea of APoLLo, arXiv 2312.01564; not its method"
    trains: ClassVar[str] = "cross-attention of prompts over shots and of images over prompts"
    needs: ClassVar[str] = "two views of each image, or two prompts of each class"
    try_when: ClassVar[str] = "there are views or several prompts, and predictions should not hang on which is seen"
    learned: ClassVar[tuple[str, ...]] = (
        "query_",
        "key_",
        "value_",
        "text_up_",
        "image_up_",
        "prompts_",
        "memory_",
    )

    query_: Floats
    key_: Floats
    value_: Floats
    text_up_: Floats
    image_up_: Floats
    prompts_: Floats
    memory_: Floats

    def __init__(
        self,
        *,
        alpha: Alpha = 1.0,
        agree_views: NotNegative = 1.0,
        agree_prompts: NotNegative = 1.0,
        reduction: AtLeast1 = 4,
        lr: NotNegative = 1e-4,
        weight_decay: NotNegative = 0.01,
        batch_size: AtLeast1 = 256,
        epochs: AtLeast1 | None = None,
        logit_scale: float = 100.0,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.agree_views = agree_views
        self.agree_prompts = agree_prompts
        self.reduction = reduction
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.logit_scale = logit_scale
        self.seed = seed
        self.device = device

    def _count(self, classes: int, dim: int, rows: int) -> int:
        return 5 * max(1, dim // self.reduction) * dim

    def _initial(self, dim: int, generator: torch.Generator) -> dict[str, Tensor]:
        width = max(1, dim // self.reduction)
        return {
            **{name: uniform(width, dim, generator) for name in ("query", "key", "value")},
            "text_up": torch.zeros(dim, width),
            "image_up": torch.zeros(dim, width),
        }

    def _prepare(self, support: Support) -> None:
        super()._prepare(support)
        self.prompts_, self.memory_ = _variants(support.text, support.prompts), _memory(support)

    def _compared(self, support: Support) -> Tensor:
        prompts = _variants(support.text, support.prompts)
        several = support.views.shape[1] > 1 or prompts.shape[1] > 1
        if not several and (self.agree_views or self.agree_prompts):
            raise AdapterError(
                "consistency compares views of an image or prompts of a class, and here is one of each: extract with "
                "--views 2 or with several --templates, or give agree_views=0 and agree_prompts=0"
            )
        return torch.from_numpy(np.concatenate([support.text[:, None], prompts, _memory(support)], axis=1))

    def _batches(self, plan: list[list[Tensor]], views: int) -> list[list[Tensor]]:
        first = views_in_turn(plan, views)
        if views == 1:
            return first
        second = views_in_turn([[], *plan], views)[1:]  # an epoch's next view
        return [[torch.cat(pair) for pair in zip(*epoch, strict=True)] for epoch in zip(first, second, strict=True)]

    def _loss(self, support: Support) -> Callable[..., Tensor]:
        prompts = _variants(support.text, support.prompts).shape[1]
        return partial(consistency_loss, prompts=prompts, views=support.views.shape[1] > 1)

    def _numbers(self) -> dict[str, float]:
        agree = {"agree_views": self.agree_views, "agree_prompts": self.agree_prompts}
        return {"alpha": self.alpha, **agree, "logit_scale": self.logit_scale}

    def _numbers_a_row(self, classes: int, dim: int) -> int:
        return classes * max(1, dim // self.reduction)

    def _stack_key(self, support: Support) -> Hashable:
        shapes = _variants(support.text, support.prompts).shape, _memory(support).shape
        return super()._stack_key(support), self.reduction, *shapes

    def _state_bytes(self, support: Support) -> int:
        rows = 1 + MOST_PROMPTS + support.shots * support.views.shape[1]
        classes, dim = support.text.shape
        own: int = super()._state_bytes(support) + 4 * rows * classes * dim
        return own

    def _scored(self, weights: Weights, features: Tensor, text: Tensor) -> Tensor:
        ratio = {"alpha": self.alpha, "logit_scale": self.logit_scale}
        return attended(weights, features, text, weights["prompts"], weights["memory"], **ratio).logits

    def for_classes(self, text: Any) -> Self:
        """What was learned before other classes' text, whose prompts have no shots to look at."""
        head = self._with_text(text)
        head.prompts_ = _variants(head.text_, text_prompts(text))
        head.memory_ = np.zeros((len(head.text_), 1, self.n_features_in_), np.float32)
        return head

    def _tuned(self, head: Self, support: Support, rows: Rows | None) -> Self:
        """Train once for every alpha that is tried."""
        choose_by_refit(head, support, rows, "alpha")
        return head


def _variants(text: Floats, prompts: Floats | None) -> Floats:
    """Unit prompts (C, T, D) of unit class text (C, D) and raw prompts, NaN-padded; a class with fewer repeats its own.

    Where there are no prompts the class text is the only one.
    """
    if prompts is None:
        return text[:, None]
    most = min(prompts.shape[1], MOST_PROMPTS)
    found = []
    for rows in prompts:
        own = unit(rows[np.isfinite(rows).all(1)])
        spread = np.linspace(0, len(own) - 1, most).astype(int) if len(own) >= most else np.arange(most) % len(own)
        found.append(own[spread])
    return np.stack(found)


def _memory(support: Support) -> Floats:
    """Unit views of every class's shots (C, S, D); zeros where a class has fewer than S."""
    views, dim = support.unit_views.shape[1:]
    memory = np.zeros((len(support.text), support.shots * views, dim), np.float32)
    for code, rows in enumerate(memory):
        own = support.unit_views[support.labels == code].reshape(-1, dim)
        rows[: len(own)] = own
    return memory
