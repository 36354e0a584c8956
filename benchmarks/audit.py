"""How well `adapters audit` finds labels that were made wrong on purpose, and how long it takes.

    python -m benchmarks.audit --set features.npz [--seeds 1-5] [--share 0.05] [--cleanlab PYTHON]
    python -m benchmarks.audit --speed

Labels are flipped at random, to the class whose text is most similar, and to that whose mean image is. Told are the
area under the ROC curve and the average precision of the ranking, and of the images that are told how many were flipped
(precision; what was wrong before counts against it) and how many of the flipped are told (recall).

cleanlab is given the same out-of-sample probabilities. Shown are the best average precisions of its `find_label_issues`
(images that it does not list come last) and of its label quality scores, each by whichever of three scores did best.
It is no dependency of this project, and its licence is the AGPL: `--cleanlab` names the Python of an environment of its
own. A file has `text_features`, and `…_features` and `…_labels` of `train16`, `val` and `test` (see `feature_sets`).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from adapters.arrays import Floats, Ints, unit
from adapters.auditing.pool import Pool
from adapters.auditing.suspects import judge
from adapters.auditing.twins import find_pairs, groups
from adapters.metrics import softmax
from benchmarks.feature_sets import LOGIT_SCALE

SPLITS = ("train16", "val", "test")
KINDS = ("random", "similar text", "similar images")
SIZES = ((27_000, 10), (13_500, 1_000))

CLEANLAB = """
import sys
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
folder = sys.argv[1]
given = np.load(f"{folder}/given.npz")
labels, p = given["labels"], given["p"]
ranks = {}
for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
    ranks[method] = 1 - get_label_quality_scores(labels, p, method=method)
    issues = find_label_issues(labels, p, return_indices_ranked_by=method, n_jobs=1)
    ranks["issues, " + method] = np.zeros(len(labels))
    ranks["issues, " + method][issues] = np.arange(len(issues), 0, -1)
np.savez(f"{folder}/found.npz", **ranks)
"""


class Data(NamedTuple):
    """Unit rows (N, D), labels (N,), unit texts (C, D)."""

    features: Floats
    labels: Ints
    text: Floats

    @property
    def zero_shot(self) -> Floats:
        """Logits (N, C)."""
        return np.asarray(LOGIT_SCALE * (self.features @ self.text.T), dtype=np.float32)


class Found(NamedTuple):
    """Of one draw of flips: AUROC, average precision, precision and recall of those told, cleanlab's two, s."""

    auroc: float
    average_precision: float
    told: float
    precision: float
    recall: float
    issues: float
    scores: float
    seconds: float


def read(path: Path) -> Data:
    """All splits of a file."""
    with np.load(path) as content:
        parts = [
            (content[f"{name}_features"], content[f"{name}_labels"]) for name in SPLITS if f"{name}_features" in content
        ]
        features, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Data(unit(features), labels.astype(np.int64), unit(content["text_features"]))


def flipped(data: Data, kind: str, share: float, seed: int) -> tuple[Ints, np.ndarray]:
    """Labels with a share of them wrong, and which (N,)."""
    rng = np.random.default_rng(seed)
    classes = len(data.text)
    which = rng.choice(len(data.labels), round(share * len(data.labels)), replace=False)
    rows = data.text
    if kind == "similar images":
        rows = unit(np.stack([data.features[data.labels == c].mean(0) for c in range(classes)]))
    nearest = (rows @ rows.T - 3 * np.eye(classes)).argmax(1)
    labels = data.labels.copy()
    shift = rng.integers(1, classes, len(which))
    labels[which] = (labels[which] + shift) % classes if kind == "random" else nearest[labels[which]]
    wrong = np.zeros(len(labels), bool)
    wrong[which] = True
    return labels, wrong


def measure(data: Data, kind: str, share: float, seed: int, cleanlab: str | None) -> Found:
    """Flip, judge, compare."""
    labels, wrong = flipped(data, kind, share, seed)
    began = time.perf_counter()
    judged = judge(data.features, labels, data.zero_shot)
    seconds = time.perf_counter() - began
    told = judged.told
    right = float(wrong[told].sum())
    return Found(
        roc_auc_score(wrong, judged.evidence),
        average_precision_score(wrong, judged.evidence),
        len(told),
        right / max(len(told), 1),
        right / wrong.sum(),
        *(by_cleanlab(cleanlab, labels, softmax(judged.logits), wrong) if cleanlab else (float("nan"),) * 2),
        seconds,
    )


def by_cleanlab(python: str, labels: Ints, p: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """The best average precisions of its ranked issues and of its scores."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/given.npz", labels=labels, p=p)
        subprocess.run([python, "-c", CLEANLAB, folder], check=True, env={"PATH": "/usr/bin:/bin"})
        with np.load(f"{folder}/found.npz") as found:
            precisions = {name: float(average_precision_score(wrong, found[name])) for name in found}
    issues, scores = (
        {name: p for name, p in precisions.items() if ("," in name) is listed} for listed in (True, False)
    )
    return max(issues.values()), max(scores.values())


def synthetic(rows: int, classes: int, dim: int = 512) -> Data:
    """Classes around their texts, a twentieth of the labels wrong."""
    rng = np.random.default_rng(0)
    text = unit(rng.normal(size=(classes, dim)).astype(np.float32))
    labels = rng.integers(0, classes, rows)
    centres = text + unit(rng.normal(size=(classes, dim)).astype(np.float32))
    noise = (1.5 / dim**0.5) * rng.normal(size=(rows, dim)).astype(np.float32)
    return Data(unit((centres[labels] + noise).astype(np.float32)), labels, text)


def speed(rows: int, classes: int) -> str:
    """A line of the table: seconds of the labels and of the twins."""
    data = synthetic(rows, classes)
    labels, _ = flipped(data, "random", 0.05, 1)
    numbers = np.arange(rows)
    pool = Pool(data.features, labels, ("test",), np.zeros(rows, np.int64), numbers.astype(str), numbers, None, ())
    began = time.perf_counter()
    judge(data.features, labels, data.zero_shot)
    judged = time.perf_counter()
    groups(pool, find_pairs(pool))
    return f"| {rows:,} | {classes:,} | {judged - began:.1f} | {time.perf_counter() - judged:.1f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", type=Path, help="a file of features")
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--share", type=float, default=0.05, help="of the labels that are flipped")
    parser.add_argument("--cleanlab", help="the Python of an environment that has cleanlab")
    parser.add_argument("--speed", action="store_true", help="seconds on synthetic rows")
    asked = parser.parse_args()
    if asked.set:
        first, _, last = asked.seeds.partition("-")
        data = read(asked.set)
        print(
            "| flipped to | AUROC | AP | AP of find_label_issues | of its scores | told | precision | recall | s |\n"
            "|---|---|---|---|---|---|---|---|---|"
        )
        for kind in KINDS:
            seeds = range(int(first), int(last or first) + 1)
            every = [measure(data, kind, asked.share, seed, asked.cleanlab) for seed in seeds]
            mean = Found(*np.mean(every, axis=0))
            print(
                f"| {kind} | {mean.auroc:.4f} | {mean.average_precision:.4f} | {mean.issues:.4f} | "
                f"{mean.scores:.4f} | {mean.told:.0f} | {mean.precision:.3f} | {mean.recall:.3f} | {mean.seconds:.1f} |"
            )
    if asked.speed:
        print("\n| rows | classes | labels, s | twins, s |\n|---|---|---|---|")
        for rows, classes in SIZES:
            print(speed(rows, classes))


if __name__ == "__main__":
    main()
