"""SS-Text-U: SS-Text that images without labels help.

    w_c = t_c + alpha (a_c + u_c),   a_c = s n_c / (2 N) sum_{i: y_i = c} f_i,   u_c = s / M sum_j q_jc g_j
    q = Sinkhorn(s g n(w)^T; r)                                 logits = s n(f) n(w_c)^T

with N labelled unit rows f_i (D,), n_c of them of class c, and M unit rows g_j without labels. q (M, C) says how much
of each of those a class has: exp(s g_j n(w_c)^T), scaled so that class c has the share r_c of all rows and each row is
shared out whole, ten times in turn, ending with the rows. r_c = n_c / N; a class without a shot gets a quarter of the
least share there is. It begins with w = t, and q and w take turns three times. With M = 0, u = 0.

Taken from the source: all of this at alpha = 1 (https://github.com/jusiro/SS-Text-U, `sstextu.py`, MIT; read, not
copied). Silva-Rodriguez and Konukoglu, Semi-Supervised Few-Shot Adaptation of Vision-Language Models (2026). Our own:
the residual ratio alpha, and double precision, in which nothing overflows. Not verified: whether the authors' stored
features have length 1, and any published number: those are of medical encoders. The shots are drawn alike from every
class here, so that r is uniform, and what the data set's classes really have may differ from it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Doubles, unit
from adapters.heads.ss_text.ss_text import Alpha, MovedText, counts, sums, unit_doubles
from adapters.parameters import AtLeast1
from adapters.support import Support

SINKHORN = 10
"""Turns of the two marginals."""
ABSENT = 4
"""A class without a shot gets the least share there is over so much."""


class SSTextU(MovedText):
    """SS-Text-U. `fit` takes rows without a label, whose label is -1.

    Args:
        alpha: residual ratio of all images; 0 is zero-shot, 1 the authors'.
        turns: how often the rows without labels are shared out and the classes moved.
        logit_scale: the encoder's scale s.

    Attributes:
        unlabelled_: M.
    """

    method: ClassVar[str] = "ss-text-u"
    source: ClassVar[str] = "SS-Text-U, 2026, released code"
    trains: ClassVar[str] = "nothing; class text plus sums of shots and of shares of unlabelled images"
    needs: ClassVar[str] = "text, and unlabelled rows: all training images but the shots; views used if there"
    try_when: ClassVar[str] = "few shots, and many images of the same classes without labels"
    takes_unlabelled: ClassVar[bool] = True

    unlabelled_: int

    def __init__(self, *, alpha: Alpha = 0.1, turns: AtLeast1 = 3, logit_scale: float = 100.0) -> None:
        self.alpha = alpha
        self.turns = turns
        self.logit_scale = logit_scale

    def _fit(self, support: Support) -> None:
        text, scale = support.text.astype(np.float64), self.logit_scale
        own, rows = counts(support), len(support.labels)
        others = support.unlabelled.astype(np.float64)
        self.unlabelled_ = len(others)
        labelled = scale * own / (2 * rows) * sums(support)
        share = class_shares(own[:, 0])
        weight = text if len(others) else text + self.alpha * labelled
        for _ in range(self.turns if len(others) else 0):
            q = sinkhorn(scale * others @ unit_doubles(weight).T, share)
            weight = text + self.alpha * (labelled + scale / len(others) * q.T @ others)
        self.weight_ = unit(weight.astype(np.float32)) if self.alpha else support.text

    def prediction_note(self, X: Any) -> str:
        """How many images without labels it has seen."""
        if not self.unlabelled_:
            return "fitted without images that have no label: what is left is SS-Text, with half its weight"
        return f"{self.unlabelled_:,} training images outside the shots were seen too, without their labels"

    def _facts(self) -> dict[str, Any]:
        return {"unlabelled": self.unlabelled_}

    def _restore(self, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> None:
        super()._restore(arrays, classes)
        self.unlabelled_ = int(self.config["unlabelled"])


def class_shares(shots: Doubles) -> Doubles:
    """The share (C,) of all rows that each class is taken to have, from its number of shots (C,)."""
    share = shots / shots.sum()
    share[share == 0] = share[share > 0].min() / ABSENT
    return np.asarray(share / share.sum())


def sinkhorn(logits: Doubles, share: Doubles) -> Doubles:
    """How much of every row (M, C) each class has: rows sum to 1, columns to about M times their share.

    Args:
        logits: (M, C).
        share: of the classes (C,).
    """
    q = np.exp(logits - logits.max())
    for _ in range(SINKHORN):
        q *= share / np.maximum(q.sum(0), 1e-300)
        q /= np.maximum(q.sum(1, keepdims=True), 1e-300) * len(q)
    return np.asarray(q * len(q))
