"""Class prototypes under scaled-cosine cross-entropy: the start and the gradient that TaskRes, ZS-LP and CLAP share.

    loss = mean_i cross-entropy(s * n(f_i) n(w)^T, y_i),    n(x) = x / |x|

in the prototypes w (C, D), of any norm, and image features f (B, D).
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from adapters.arrays import Floats
from adapters.support import Support
from adapters.training.balance import Balance
from adapters.training.loop import class_logits

RAW_NORM = 10.0
"""Norm that class rows are given where the raw prompt embeddings are not known: about that of CLIP's."""


def base_text(support: Support) -> Floats:
    """Class text (C, D) as training starts from it: the mean of a class's raw prompt embeddings, not normalised.

    The released learning rates and penalties are for such rows. Where only unit rows were given, those are brought to
    `RAW_NORM`: at norm 1 the same learning rate would turn a prototype up to 100 times as far, and training diverge.
    """
    return support.mean_prompts if support.prompts is not None else np.float32(RAW_NORM) * support.text


def cosine_loss(
    features: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    logit_scale: float | Tensor,
    balance: Balance,
) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient with respect to the prototypes; each row is at right angles to its prototype.

    Leading dimensions are trainings that know nothing of each other.

    Args:
        features: unit rows (..., B, D).
        labels: class codes (..., B).
        prototypes: w (..., C, D).
        logit_scale: s, one or (..., 1, 1).
        balance: of classes.

    Returns:
        (...) and (..., C, D).
    """
    norm = prototypes.norm(dim=-1, keepdim=True).clamp_min_(1e-12)  # a zero row stays zero
    unit = prototypes / norm
    loss, of_logits = balance.cross_entropy(class_logits(features, unit).mul_(logit_scale), labels)
    gradient = of_logits.mul_(logit_scale).mT @ features
    along = (gradient * unit).sum(-1, keepdim=True)
    return loss, gradient.addcmul_(unit, along, value=-1).div_(norm)
