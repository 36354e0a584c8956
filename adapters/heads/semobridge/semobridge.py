"""SeMoBridge in closed form: shots and images are carried to the side of the text by a pseudo-inverse.

The equations are those of `adapters.heads.semobridge.bridge`, with b = 0. Nothing is trained. The authors search seven
numbers for each data set in 1,000 trials on the whole validation split; `tuned` searches beta and alpha.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from adapters.abilities import ClosedForm
from adapters.arrays import Floats
from adapters.heads.semobridge.bridge import Bridged, carried, inverse, prototypes
from adapters.parameters import NotNegative
from adapters.support import Support


class SeMoBridge(Bridged, ClosedForm):
    """SeMoBridge, training-free.

    Args:
        alpha: residual ratio of the bridge; 0 ranks classes as zero-shot does.
        beta: sharpness of the cosines to bridged prototypes.
        text_beta: sharpness of the cosines to class text.
        image_beta: sharpness of the cosines of bridged images to the shots' means.
        gamma: weight of these against the bridged prototypes.
        smoothness: how much more a class counts whose prototype its text does not agree with.
        logit_scale: the encoder's scale s; it only scales the logits.
    """

    method: ClassVar[str] = "semobridge"
    source: ClassVar[str] = "SeMoBridge, arXiv 2509.26036, released code"
    trains: ClassVar[str] = "nothing; a pseudo-inverse of the text projection"
    needs: ClassVar[str] = "text, and the projections that go with pre-projection features; views used if there"
    sees: ClassVar[Literal["embeddings", "projections", "pre-projection"]] = "projections"
    try_when: ClassVar[str] = "few shots and no training, where images and texts lie far apart"
    learned: ClassVar[tuple[str, ...]] = ("projection_", "inverse_", "prototypes_", "means_")

    def __init__(
        self,
        *,
        alpha: NotNegative = 1.5,
        beta: NotNegative = 1.0,
        text_beta: NotNegative = 1.0,
        image_beta: NotNegative = 1.0,
        gamma: NotNegative = 0.13,
        smoothness: NotNegative = 0.01,
        logit_scale: float = 100.0,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.text_beta = text_beta
        self.image_beta = image_beta
        self.gamma = gamma
        self.smoothness = smoothness
        self.logit_scale = logit_scale

    def _fit(self, support: Support) -> None:
        self.inverse_ = inverse(self.projection_)
        bridged = carried(_rows(support) @ self.inverse_, self.projection_)
        views = support.views.shape[1]
        self.prototypes_ = prototypes(bridged, np.repeat(support.labels, views), len(support.text))


def _rows(support: Support) -> Floats:
    """Every view as a unit row (N V, D)."""
    return support.unit_views.reshape(-1, support.unit_views.shape[2])
