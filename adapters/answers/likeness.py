"""How much an image looks like one of the classes at all.

With unit shots x_i of class c, their mean mu_c over the class and m over all shots, unit texts t_c with mean t over the
classes, and q an image's unit embedding:

    p_c  = unit(unit(unit(mu_c) - m) + unit(t_c - t))        prototypes (C, D) from both modalities, each centred
    z_c  = cos(q - m, p_c)
    s(q) = log max_c softmax(10 z)_c

It asks how much better the best class fits than the others, and depends on no head. Centring takes away what all
images, and all texts, have in common (the modality gap, Liang et al., arXiv 2203.02053), which is most of a CLIP
cosine; the maximum of a softened soft-max over concepts is MCM's (Ming et al., arXiv 2211.13445), which uses texts
alone. Measured beside other scores by `benchmarks/reject.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Floats, Ints, unit
from adapters.metrics import log_softmax
from adapters.support import class_means

SHARPNESS = 10.0


@dataclass(frozen=True, eq=False)
class Likeness:
    """What images are compared with.

    Attributes:
        prototypes: unit rows (C, D).
        centre: mean of the unit shots (D,).
    """

    prototypes: Floats
    centre: Floats

    @classmethod
    def of(cls, images: Floats, labels: Ints, text: Floats) -> Self:
        """From shots (N, D), their class codes (N,) and class text (C, D); a class without shots has its text alone."""
        shots, words = unit(images), unit(text)
        centre = shots.mean(0)
        seen = np.bincount(labels, minlength=len(words)) > 0
        of_images = unit(class_means(shots, labels, len(words)) - centre) * seen[:, None]
        return cls(unit(of_images + unit(words - words.mean(0))), centre)

    def scores(self, images: Floats) -> NDArray[np.float64]:
        """The scores s (N,) of images (N, D), at most 0; the larger, the more like one of the classes."""
        cosines = unit(unit(images) - self.centre) @ self.prototypes.T
        return np.asarray(log_softmax(SHARPNESS * cosines).max(1))
