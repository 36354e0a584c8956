"""Whether prediction sets hold the truth, and known images are refused, as often as was asked for.

    python -m benchmarks.coverage [--sets features.npz …] [--shots 16] [--splits 100] [--methods zs-lp tip gda]
        [--root FOLDER] [--conformal-clip PYTHON]

A head is fitted on K shots. Its test images are split in two at random, again and again: thresholds are learned on one
half and tried on the other, where images are exchangeable, as the promise demands. Prints Markdown, in percent: mean
coverage with the mean number of classes in a set, for three asked-for shares, and the mean share of refused images, for
two; the last row of a set is what the shots alone give, left out in turn, on all test images.

conformal-clip (PyPI) is given the same probabilities of the same halves. Its public function takes images and two
classes, Nominal and Defective, so that its own thresholds and sets are called as that function calls them: by the
probability of the true class, for all classes or for each its own ("Mondrian"), without empty sets (its default) or
with them. It is no dependency of this project: `--conformal-clip` names the Python of an environment of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.answers.likeness import Likeness
from adapters.answers.prediction_sets import prediction_sets, set_thresholds
from adapters.answers.rejection import rejection_threshold
from adapters.arrays import Ints
from adapters.fitting.recipe import build
from adapters.head import Head
from adapters.methods import METHODS
from adapters.metrics import softmax
from adapters.selection.left_out import FOLDS
from adapters.support import shot_folds
from benchmarks.feature_sets import FeatureSet, FewShots

COVERAGES, RATES = (0.8, 0.9, 0.95), (0.05, 0.1)

CONFORMAL_CLIP = """
import sys
import numpy as np
from conformal_clip import conformal
folder = sys.argv[1]
with np.load(f"{folder}/given.npz") as given:
    p, labels, orders, coverages = (given[name] for name in ("p", "labels", "orders", "coverages"))
class Given:
    classes_ = np.array([str(c) for c in range(p.shape[1])])
    def predict_proba(self, rows):
        return p[rows]
kinds = {
    "global": (conformal._fit_global_threshold, conformal._predict_sets_global),
    "Mondrian": (conformal._fit_mondrian_thresholds, conformal._predict_sets_mondrian),
}
names_of = {False: "", True: ", empty sets allowed"}
found = {kind + names_of[empty]: np.zeros((len(orders), len(coverages), 2)) for kind in kinds for empty in names_of}
names = labels.astype(str)
for i, order in enumerate(orders):
    held, new = order[: len(order) // 2], order[len(order) // 2 :]
    for j, coverage in enumerate(coverages):
        for kind, (threshold, sets_at) in kinds.items():
            limit = threshold(Given(), held, names[held], 1 - coverage)
            for empty in names_of:
                sets = sets_at(Given(), new, limit, allow_empty=empty)
                told = [[names[row] in of, len(of)] for row, of in zip(new, sets)]
                found[kind + names_of[empty]][i, j] = np.mean(told, axis=0)
np.savez(f"{folder}/found.npz", **found)
"""


class Images:
    """Images with labels, as a head and a likeness see them."""

    def __init__(self, p: NDArray[np.float64], likeness: NDArray[np.float64], labels: Ints) -> None:
        self.p, self.likeness, self.labels = p, likeness, labels

    def __getitem__(self, rows: Ints) -> Images:
        return Images(self.p[rows], self.likeness[rows], self.labels[rows])


def seen_by(head: Head, draw: FewShots, kept: Ints | slice, X: NDArray[np.float32], y: Ints) -> Images:
    """Images (N, D) with labels (N,) as seen by what learned from some of the shots."""
    fitted = head.fit(draw.X[kept], draw.y[kept], text=draw.text)
    like = Likeness.of(draw.X[kept], draw.y[kept], draw.text.weights())
    return Images(softmax(fitted.decision_function(X)), like.scores(X), y)


def tried(held: Images, new: Images) -> list[float]:
    """Coverage and size for each of `COVERAGES`, and the refused share for each of `RATES`, on new images."""
    found: list[float] = []
    for coverage in COVERAGES:
        sets = prediction_sets(new.p, set_thresholds(held.p, held.labels, coverage))
        found += [float(sets[np.arange(len(sets)), new.labels].mean()), float(sets.sum(1).mean())]
    return found + [float((new.likeness < rejection_threshold(held.likeness, rate)).mean()) for rate in RATES]


def by_conformal_clip(python: str, test: Images, orders: NDArray[np.int64]) -> dict[str, Sequence[float]]:
    """Coverage and size of conformal-clip's two kinds of sets for each of `COVERAGES`, over the same splits."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/given.npz", p=test.p, labels=test.labels, orders=orders, coverages=COVERAGES)
        subprocess.run([python, "-c", CONFORMAL_CLIP, folder], check=True, env={"PATH": "/usr/bin:/bin"})
        with np.load(f"{folder}/found.npz") as found:
            return {f"conformal-clip, {kind}": found[kind].mean(0).ravel().tolist() for kind in found}


def measure(method: str, draw: FewShots, splits: int, conformal_clip: str | None = None) -> dict[str, Sequence[float]]:
    """Means over random splits, and what the shots alone give."""
    head = build(METHODS[method], {}, logit_scale=draw.text.logit_scale, seed=1, device="auto")
    test, rng = seen_by(head, draw, slice(None), draw.test, draw.labels), np.random.default_rng(0)
    orders = np.array([rng.permutation(len(test.labels)) for _ in range(splits)])
    over = [tried(test[order[: len(order) // 2]], test[order[len(order) // 2 :]]) for order in orders]
    theirs = by_conformal_clip(conformal_clip, test, orders) if conformal_clip else {}
    parts = [seen_by(head, draw, kept, draw.X[out], draw.y[out]) for kept, out in shot_folds(draw.y, FOLDS)]
    names = ("p", "likeness", "labels")
    shots = Images(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return {f"{splits} splits": np.mean(over, axis=0).tolist(), **theirs, "the shots": tried(shots, test)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["digits-tiny"])
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--methods", nargs="+", default=["zs-lp", "tip", "gda"], choices=list(METHODS))
    parser.add_argument("--root", help="of the caches; default as everywhere")
    parser.add_argument("--conformal-clip", help="the Python of an environment that has conformal-clip")
    options = parser.parse_args()
    asked = [f"{100 * share:g} %: covered, size" for share in COVERAGES] + [f"refuse {100 * r:g} %" for r in RATES]
    print(f"| set | method | learned from | {' | '.join(asked)} |")
    print("|---|---|---|" + "---|" * len(asked))
    for feature_set in (FeatureSet(name, options.root) for name in options.sets):
        draw = next(feature_set.draws(options.shots, range(1, 2)))
        for method in options.methods:
            for source, found in measure(method, draw, options.splits, options.conformal_clip).items():
                sets = [f"{100 * found[i]:.1f}, {found[i + 1]:.2f}" for i in range(0, 2 * len(COVERAGES), 2)]
                refused = [f"{100 * share:.1f}" for share in found[2 * len(COVERAGES) :]] or ["–"] * len(RATES)
                print(f"| {feature_set.title} | {method} | {source} | {' | '.join(sets + refused)} |", flush=True)


if __name__ == "__main__":
    main()
