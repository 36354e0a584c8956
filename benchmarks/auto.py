"""`auto` beside every single method by its recipe: accuracy, calibration and likelihood, and how far behind the best.

    python -m benchmarks.auto [--sets digits-tiny features.npz features.npz:noisy …] [--shots 1,2,4,8,16] [--seeds 1-5]
        [--methods clip tip …] [--root FOLDER]

Prints Markdown: for every set and number of shots the means over seeds of zero-shot, of the best single method in
hindsight, and of `auto`, with its ECE (15 bins of equal mass), and in how many cells its likelihood beats every single
method's. Test labels compare methods; they choose nothing within one.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np

from adapters.fitting.recommended import recommended
from adapters.methods import BASELINE, METHODS
from adapters.scores import score_logits, tempered_logits
from benchmarks.feature_sets import FeatureSet, FewShots

SKIPPED = ("meta", "mma", "cil-linear", "cil-attention", "rapf")
"""Methods that learn elsewhere, or class by class, or for minutes."""
DEFAULT_SETS = ["digits-tiny"]


class Found(NamedTuple):
    """Means over seeds: accuracy and ECE in percent, NLL in nats, seconds of a fit."""

    accuracy: float
    ece: float
    nll: float
    seconds: float


def measure(method: str, draw: FewShots, seed: int) -> Found:
    """Fit by the recipe and score."""
    began = time.perf_counter()
    head = recommended(method, seed=seed).fit(draw.X, draw.y, text=draw.text).head_
    seconds = time.perf_counter() - began
    found = score_logits(tempered_logits(head, draw.test), draw.labels)
    return Found(100 * found.accuracy, 100 * found.ece, found.nll, seconds)


def cell(feature_set: FeatureSet, shots: int, seeds: range, methods: list[str]) -> dict[str, Found]:
    """Means over seeds of every method."""
    found: dict[str, list[Found]] = {method: [] for method in methods}
    for seed, draw in zip(seeds, feature_set.draws(shots, seeds), strict=False):
        for method in methods:
            found[method].append(measure(method, draw, seed))
    return {method: Found(*np.mean(of_seeds, axis=0)) for method, of_seeds in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    singles = [name for name in METHODS if name not in (*SKIPPED, "auto")]
    parser.add_argument("--sets", nargs="+", default=DEFAULT_SETS)
    parser.add_argument("--methods", nargs="+", choices=singles, default=singles)
    parser.add_argument("--seeds", default="1-5", help="first-last")
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--root", help="of the caches; default as everywhere")
    options = parser.parse_args()
    first, last = (int(end) for end in options.seeds.split("-"))
    counts = [int(shots) for shots in options.shots.split(",")]
    methods = list(dict.fromkeys([BASELINE, *options.methods, "auto"]))
    print("| set | shots | zero-shot | best single | auto | behind | ECE | NLL | best single NLL | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    cells = []
    for feature_set in (FeatureSet(name, options.root) for name in options.sets):
        for shots in counts:
            found = cell(feature_set, shots, range(first, last + 1), methods)
            auto = found.pop("auto")
            best = max(found, key=lambda method: found[method].accuracy)
            likeliest = min(found, key=lambda method: found[method].nll)
            cells.append((found, auto))
            row = [
                feature_set.title,
                str(shots),
                f"{found[BASELINE].accuracy:.2f}",
                f"{found[best].accuracy:.2f} ({best})",
                f"{auto.accuracy:.2f}",
                f"{found[best].accuracy - auto.accuracy:+.2f}",
                f"{auto.ece:.1f}",
                f"{auto.nll:.3f}",
                f"{found[likeliest].nll:.3f} ({likeliest})",
                f"{auto.seconds:.1f}",
            ]
            print(f"| {' | '.join(row)} |", flush=True)
    means = {method: np.mean([found[method].accuracy for found, _ in cells]) for method in cells[0][0]}
    best = max(means, key=lambda method: means[method])
    mean = np.mean([auto.accuracy for _, auto in cells])
    likelier = sum(auto.nll < min(each.nll for each in found.values()) for found, auto in cells)
    print(f"\nMean over all cells: auto {mean:.2f}, best single in hindsight {means[best]:.2f} ({best}).")
    print(f"Likelier than every single method in {likelier} of {len(cells)} cells.")


if __name__ == "__main__":
    main()
