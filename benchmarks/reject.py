"""None of these: how well scores tell images of classes that a head knows from images of classes that it does not.

    python -m benchmarks.reject [--sets features.npz …] [--seeds 1-5] [--shots 1,2,4,16] [--head zs-lp] [--root FOLDER]

A third of the classes, drawn by the seed, is left out of shots and texts; its test images are the unknown ones. Prints
Markdown: for every score and number of shots the mean over the seeds of the area under the ROC curve, and of the share
of unknown images that pass at the score which lets 95 % of the known ones pass (FPR at 95 %), both in percent. Maximum
probability and energy (Liu et al., arXiv 2010.03759) are those of the head; the maximum cosine is to the texts;
"likeness" is `adapters.answers.likeness`. Test labels compare scores that are fixed beforehand.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from adapters.answers.likeness import Likeness
from adapters.arrays import unit
from adapters.fitting.recipe import build
from adapters.methods import METHODS
from adapters.metrics import log_softmax
from benchmarks.feature_sets import FeatureSet, FewShots, Text

Scores = dict[str, NDArray[np.float64]]


def without_a_third(draw: FewShots, seed: int) -> tuple[FewShots, NDArray[np.bool_]]:
    """The draw without a third of its classes, all its test images, and which of these are known (N,)."""
    classes = len(draw.text.weights())
    kept = np.sort(np.random.default_rng(seed).permutation(classes)[: classes - classes // 3])
    code = np.full(classes, -1)
    code[kept] = np.arange(len(kept))
    shots, known = code[draw.y] >= 0, code[draw.labels] >= 0
    text = Text(draw.text.weights()[kept], draw.text.logit_scale)
    return FewShots(draw.X[shots], code[draw.y[shots]], text, draw.test, code[draw.labels]), known


def scores_of(draw: FewShots, method: str, seed: int) -> Scores:
    """Scores (N,) of the test images: the larger, the more known."""
    text = draw.text
    found: Scores = {}
    for name in dict.fromkeys(("zero-shot", method)):
        head = build(METHODS[name], {}, logit_scale=text.logit_scale, seed=seed, device="auto")
        logits = head.fit(draw.X, draw.y, text=text).decision_function(draw.test).astype(np.float64)
        found[f"maximum probability, {name}"] = log_softmax(logits).max(1)
        found[f"energy, {name}"] = np.logaddexp.reduce(logits, axis=1)
    images = draw.X if draw.X.ndim == 2 else draw.X.mean(1)
    found["maximum cosine"] = np.asarray((unit(draw.test) @ text.weights().T).max(1), np.float64)
    found["likeness"] = Likeness.of(images, draw.y, text.weights()).scores(draw.test)
    return found


def false_positives(scores: NDArray[np.float64], known: NDArray[np.bool_]) -> float:
    """Share of the unknown that pass where 95 % of the known do."""
    return float((scores[~known] >= np.quantile(scores[known], 0.05)).mean())


def measure(feature_set: FeatureSet, shots: int, seeds: range, method: str) -> dict[str, NDArray[np.float64]]:
    """Mean AUROC and FPR at 95 % of every score, in percent."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed, draw in zip(seeds, feature_set.draws(shots, seeds), strict=False):
        part, known = without_a_third(draw, seed)
        for name, scores in scores_of(part, method, seed).items():
            rows.setdefault(name, []).append((float(roc_auc_score(known, scores)), false_positives(scores, known)))
    return {name: 100 * np.mean(found, axis=0) for name, found in rows.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["digits-tiny"])
    parser.add_argument("--seeds", default="1-5", help="first-last")
    parser.add_argument("--shots", default="1,2,4,16")
    parser.add_argument("--head", default="zs-lp", choices=list(METHODS))
    parser.add_argument("--root", help="of the caches; default as everywhere")
    options = parser.parse_args()
    first, last = (int(end) for end in options.seeds.split("-"))
    counts = [int(shots) for shots in options.shots.split(",")]
    print(f"| set | score | {' | '.join(f'{shots} shots: AUROC, FPR' for shots in counts)} |")
    print("|---|---|" + "---|" * len(counts))
    for feature_set in (FeatureSet(name, options.root) for name in options.sets):
        cells = [measure(feature_set, shots, range(first, last + 1), options.head) for shots in counts]
        for name in cells[0]:
            told = " | ".join(f"{cell[name][0]:.1f}, {cell[name][1]:.1f}" for cell in cells)
            print(f"| {feature_set.title} | {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
