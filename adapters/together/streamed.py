"""A stream: every image is answered by what those before it were taken for, and then remembered itself.

With unit image f and the head's probabilities p (C,) of it, of entropy h:

    1. f is put among the at most 3 images that are remembered of its most probable class, with h; where there are
       3, in place of the one of the largest entropy, if its own is smaller. Where h / log C is within (0.2, 0.5), it is
       put in the same way, with the classes m = [0.03 < p < 1], among the at most 2 of its class that are unsure.
    2. logits = the head's + 2 sum_j exp(-5 (1 - f . k_j)) e_j - 0.117 sum_j exp(-(1 - f . u_j)) m_j

with remembered images k of class e (one-hot), and unsure ones u. Source: TDA (Karmanov et al., arXiv 2403.18293) with
the numbers of its released code for ImageNet, and a head's probabilities in place of zero-shot's. What an image is
answered depends on all before it: the order is part of the answer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from adapters.arrays import Doubles, Floats, unit
from adapters.metrics import log_softmax
from adapters.together.adjusted import Adjusted

SURE, UNSURE = 3, 2
"""Images that are remembered of a class."""
SURE_ALPHA, SURE_BETA = 2.0, 5.0
UNSURE_ALPHA, UNSURE_BETA = 0.117, 1.0
ENTROPIES = (0.2, 0.5)
"""Between which, over the largest there is, an image is unsure."""
LIKELY = 0.03
"""A class of an unsure image has a probability above this."""


class Remembered(NamedTuple):
    """An image (D,), its entropy, and the classes (C,) that it speaks for or against."""

    image: Doubles
    entropy: float
    classes: Doubles


class Memory:
    """The surest images of every class.

    Args:
        most: images of a class.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: dict[int, list[Remembered]] = {}

    def add(self, code: int, item: Remembered) -> None:
        """Remember an image of a class, if there is room or it is surer than the least sure; of equals the first."""
        kept = self.kept.setdefault(code, [])
        if len(kept) == self.most:
            if item.entropy >= kept[-1].entropy:
                return
            kept.pop()
        kept.append(item)
        kept.sort(key=lambda each: each.entropy)

    def votes(self, image: Doubles, beta: float) -> Doubles | float:
        """What the remembered say of an image (D,), a number for each class (C,); 0 where there are none."""
        every = [item for kept in self.kept.values() for item in kept]
        if not every:
            return 0.0
        near = np.exp(-beta * (1 - np.stack([item.image for item in every]) @ image))
        return np.asarray(near @ np.stack([item.classes for item in every]))


class Streamed(Adjusted):
    """`--online`: one image after the other, from empty memories on."""

    in_order = True
    how = "online"

    def __init__(self) -> None:
        super().__init__()
        self.sure, self.unsure = Memory(SURE), Memory(UNSURE)

    @property
    def said(self) -> str:
        """How many images have gone by."""
        return f"ONLINE: adapted along a stream of {self.images:,} images"

    def _adjust(self, images: Floats, logits: Floats) -> Floats:
        rows = unit(images).astype(np.float64)
        return np.stack([self._answer(row, own) for row, own in zip(rows, logits, strict=True)])

    def _answer(self, image: Doubles, logits: Floats) -> Floats:
        log_p = log_softmax(logits[None])[0]
        p, classes = np.exp(log_p), len(logits)
        entropy = float(-(p * log_p).sum())
        code = int(log_p.argmax())
        self.sure.add(code, Remembered(image, entropy, np.eye(1, classes, code)[0]))
        low, high = ENTROPIES
        if classes > 1 and low < entropy / math.log(classes) < high:
            self.unsure.add(code, Remembered(image, entropy, ((p > LIKELY) & (p < 1)).astype(np.float64)))
        votes = SURE_ALPHA * self.sure.votes(image, SURE_BETA) - UNSURE_ALPHA * self.unsure.votes(image, UNSURE_BETA)
        return np.asarray(logits + votes, np.float32)
