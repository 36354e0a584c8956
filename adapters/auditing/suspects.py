"""Images whose label is likely wrong, over every labelled row of every split.

Each image is judged by the others: exact leave-one-out of a Gaussian discriminant (`left_out`) and zero-shot, mixed and
calibrated while some labels are wrong (`noise`). A second round learns with each row weighted by how likely its label
was right, so that wrong labels spoil the class means no more. Told are the images whose label is more likely wrong
than right.

They are ranked by the mean of two log-odds that the label is wrong: with the estimated confusions, as for what is
told, and without. The first alone ranks by how common a confusion is as much as by what the image shows; the mean was
measured to rank better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from adapters.arrays import Doubles, Floats, Ints
from adapters.auditing.left_out import LeftOut, nearest
from adapters.auditing.noise import BLOCK, Understood, some_rows, understand
from adapters.auditing.pool import Image, Pool

RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Tried, in units of the mean spread; the one that makes the labels most likely is taken."""
LEARNED_ROUNDS = 2
FIRST_ROUNDS = 4
"""Of expectation maximisation before rows are weighted."""
LEAST_WEIGHT = 1e-3
TOLD = 0.5
"""Probability of a wrong label from which on an image is told."""


class Suspect(NamedTuple):
    """An image whose label is likely wrong, and the label it would have.

    `score` is the probability of the mean log-odds, by which images are ranked.
    """

    image: Image
    label: str
    suggested: str
    score: float


@dataclass(frozen=True, eq=False)
class Judged:
    """What an audit makes of every image of a pool.

    Attributes:
        wrong: probability (N,) that the label is wrong; NaN without a label.
        evidence: mean log-odds (N,) that it is, with and without confusions; NaN without a label.
        suggested: the most probable class other than the label (N,); of an image without a label the most probable.
        distance: Mahalanobis distance (N,) to the nearest class, of the discriminant without the image itself.
        logits: calibrated, out-of-sample logits (N, C) of what the image is, without a look at its label.
        share: expected share of wrong labels; None without labels.
    """

    wrong: Doubles
    evidence: Doubles
    suggested: Ints
    distance: Doubles
    logits: Floats
    share: float | None

    @property
    def told(self) -> Ints:
        """Images whose label is more likely wrong than right, most certain first."""
        with np.errstate(invalid="ignore"):
            found = np.flatnonzero(self.wrong > TOLD)
        return found[np.argsort(-self.evidence[found], kind="stable")]


def judge(features: Floats, labels: Ints, zero_shot: Floats) -> Judged:
    """Judge every image by all others.

    Args:
        features: unit rows (N, D).
        labels: class codes (N,); -1 for an image without a label.
        zero_shot: logits (N, C).
    """
    known = labels >= 0
    codes, weights = np.where(known, labels, 0), known.astype(np.float64)
    labelled = np.flatnonzero(known)
    classes = zero_shot.shape[1]
    if len(labelled) < 2 or classes < 2:
        nothing = np.full(len(labels), np.nan)
        return Judged(nothing, nothing, zero_shot.argmax(1), nothing, zero_shot, None)
    wrong, mean_odds = (np.full(len(labels), np.nan) for _ in range(2))
    for round_ in range(LEARNED_ROUNDS):
        left_out = LeftOut(features, codes, weights, classes)
        tried = labelled[some_rows(len(labelled), classes)]
        fits = [understand(zero_shot[tried], left_out.logits(r, tried), codes[tried], rounds=0).loss for r in RIDGES]
        learned = left_out.logits(RIDGES[int(np.argmin(fits))])
        last = round_ == LEARNED_ROUNDS - 1
        evidence = zero_shot[labelled], learned[labelled], codes[labelled]
        found = understand(*evidence) if last else understand(*evidence, rounds=FIRST_ROUNDS)
        wrong[labelled], mean_odds[labelled], suggested = _odds(found, *evidence)
        weights[labelled] = np.maximum(1 - wrong[labelled], LEAST_WEIGHT)
    best = np.empty(len(labels), np.int64)
    best[labelled] = suggested
    logits = found.mixed(zero_shot, learned).astype(np.float32)
    best[~known] = logits[~known].argmax(1)
    return Judged(wrong, mean_odds, best, nearest(learned), logits, float(wrong[labelled].mean()))


def _odds(found: Understood, zero_shot: Floats, learned: Floats, labels: Ints) -> tuple[Doubles, Doubles, Ints]:
    """Probability (R,) of a wrong label, mean log-odds (R,) of it, and the most probable other class (R,)."""
    step = max(1, BLOCK // zero_shot.shape[1])
    blocks = [slice(start, start + step) for start in range(0, len(labels), step)]
    parts = [found.odds(zero_shot[rows], learned[rows], labels[rows]) for rows in blocks]
    confused, plain, other = (np.concatenate(part) for part in zip(*parts, strict=True))
    return expit(confused), (confused + plain) / 2, other


def suspects(pool: Pool, judged: Judged, class_names: tuple[str, ...]) -> tuple[Suspect, ...]:
    """The images that are told, most certain first."""
    return tuple(
        Suspect(
            pool.image(i),
            class_names[pool.labels[i]],
            class_names[judged.suggested[i]],
            float(expit(judged.evidence[i])),
        )
        for i in judged.told.tolist()
    )
