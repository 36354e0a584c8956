"""Weights of a mixture of classifiers, from what each says of shots that it was not fitted on.

    p(c | x) = sum_j w_j p_j(c | x),    w = (1 - 1/K) w_EM + (1/K) w_prior

w_EM maximises the likelihood of the held-out shots, sum_i log sum_j w_j p_j(y_i | x_i); it is found by expectation and
maximisation (Dempster, Laird and Rubin, 1977; for mixtures of predictors Jordan and Jacobs, 1994). With few shots a
class K it is shrunk towards a prior, which is all there is at one shot.
"""

from __future__ import annotations

import numpy as np

from adapters.arrays import Doubles, Floats, Ints, unit
from adapters.support import class_means

STEPS = 200
"""Of expectation and maximisation; the likelihood of a convex problem settles long before."""
LOST = 0.1
"""By what share the shots' prototypes may be worse than the texts before zero-shot is trusted alone."""


def em_weights(likelihoods: Doubles) -> Doubles:
    """Weights (J,) that make the held-out labels most likely, of likelihoods (J, N)."""
    weights = np.full(len(likelihoods), 1 / len(likelihoods))
    for _ in range(STEPS):
        shares = weights[:, None] * likelihoods
        weights = (shares / shares.sum(0)).mean(1)
    return weights


def prior_weights(candidates: int, without_text: int | None, *, p: float, q: float, chance: float) -> Doubles:
    """Weights (J,) before anything was held out; zero-shot is the first candidate.

    Zero-shot is trusted as far as it is right on the shots, which it has not learnt from, and as the shots' prototypes
    are worse than the texts: w_0 = q^2 clip((1 - p/q) / 0.1, 0.1, 1). The rest goes evenly to the heads that start from
    the text, and to the one that does without it more, the closer to chance the text is.

    Args:
        candidates: J.
        without_text: which candidate does without text; None: none does.
        p: share of the classes' texts that the prototypes of the shots classify rightly.
        q: share of the shots that zero-shot classifies rightly.
        chance: 1 / C.
    """
    trust = max(0.0, (q - chance) / (1 - chance)) if chance < 1 else 1.0
    zero_shot = q * q * float(np.clip((1 - p / q) / LOST, 0.1, 1.0)) if q > 0 else 0.0
    weights = np.ones(candidates)
    weights[0] = 0.0
    if without_text is not None:
        weights[without_text] = max(0.0, 1 - 2 * trust) * candidates
    weights *= (1 - zero_shot) / weights.sum()
    weights[0] = zero_shot
    return weights


def agreement(means: Floats, labels: Ints, text: Floats) -> tuple[float, float]:
    """How far shots and text tell the same: p and q of `prior_weights`.

    Args:
        means: unit support rows (N, D).
        labels: their classes (N,).
        text: unit class text (C, D).
    """
    there = np.unique(labels)
    prototypes = class_means(means, labels, len(text))[there]
    centred = [unit(rows - rows.mean(0)) for rows in (text[there], prototypes)]
    p = float(((centred[0] @ centred[1].T).argmax(1) == np.arange(len(there))).mean())
    q = float(((means @ text.T).argmax(1) == labels).mean())
    return p, q
