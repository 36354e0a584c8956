"""Which defaults hurt: choosing hyper-parameters on the shots themselves against fixed ones, on the same draws.

    python -m benchmarks.defaults [--methods tip gda …] [--sets digits-tiny features.npz features.npz:noisy …]
        [--seeds 1-5] [--shots 1,2,4,8,16] [--root FOLDER]

Prints Markdown: per method and set, for every number of shots, the mean test accuracy less that of zero-shot with fixed
settings and with those chosen on the shots, and the mean of their differences ± its standard error over the seeds, in
points. A default (`Head.chosen_by_default`, `Head.chosen_from`) never loses more than two standard errors on real
features; of those that do not, the better mean wins. At one shot nothing can be left out and the two are the same. Test
labels compare two protocols that are fixed beforehand; they choose nothing within them.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from adapters.fitting.recipe import build
from adapters.head import Head
from adapters.methods import BASELINE, METHODS
from benchmarks.feature_sets import FeatureSet, FewShots

SKIPPED = ("auto", "meta", "mma", "cil-linear", "cil-attention", "rapf")
"""Methods that choose by themselves, learn elsewhere, or class by class, or for minutes."""


def accuracy(method: str, draw: FewShots, seed: int, *, chosen: bool) -> float:
    """Test accuracy of a head, in percent."""
    head = build(METHODS[method], {}, logit_scale=draw.text.logit_scale, seed=seed, device="auto")
    head = head.tuned(draw.X, draw.y, text=draw.text) if chosen else head
    return 100 * head.fit(draw.X, draw.y, text=draw.text).score(draw.test, draw.labels)


def measure(method: str, feature_set: FeatureSet, shots: int, seeds: range) -> NDArray[np.float64]:
    """Accuracies (seeds, 3) of zero-shot, fixed and chosen settings."""
    rows = []
    for seed, draw in zip(seeds, feature_set.draws(shots, seeds), strict=False):
        fixed = accuracy(method, draw, seed, chosen=False)
        chosen = accuracy(method, draw, seed, chosen=True) if shots > 1 else fixed
        rows.append([accuracy(BASELINE, draw, seed, chosen=False), fixed, chosen])
    return np.array(rows)


def cell(found: NDArray[np.float64]) -> str:
    """`+1.2 → +2.3: +1.1 ± 0.2`: less zero-shot fixed, and chosen; their difference."""
    zero_shot, fixed, chosen = found.mean(0)
    differences = found[:, 2] - found[:, 1]
    error = differences.std(ddof=1) / len(found) ** 0.5 if len(found) > 1 else float("nan")
    less = f"{fixed - zero_shot:+.1f} → {chosen - zero_shot:+.1f}"
    return f"{less}: {differences.mean():+.1f} ± {error:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    methods = [name for name in METHODS if name not in SKIPPED and METHODS[name]._tuned is not Head._tuned]
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--sets", nargs="+", default=["digits-tiny", "eurosat-tiny"])
    parser.add_argument("--seeds", default="1-5", help="first-last")
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--root", help="of the caches; default as everywhere")
    options = parser.parse_args()
    first, last = (int(end) for end in options.seeds.split("-"))
    counts = [int(shots) for shots in options.shots.split(",")]
    print(f"| method | set | {' | '.join(f'{shots} shots' for shots in counts)} |")
    print("|---|---|" + "---|" * len(counts))
    for method in options.methods:
        for feature_set in (FeatureSet(name, options.root) for name in options.sets):
            cells = [cell(measure(method, feature_set, shots, range(first, last + 1))) for shots in counts]
            print(f"| {method} | {feature_set.title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
