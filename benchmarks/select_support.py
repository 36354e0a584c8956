"""Does choosing hyper-parameters on the shots themselves beat fixed defaults, on the same draws?

    python -m benchmarks.select_support [--methods tip gda …] [--caches digits-tiny eurosat-tiny] [--seeds 1-10]
        [--shots 1,2,4,8,16] [--root FOLDER]

Prints Markdown: per method and cache, for every number of shots, the mean test accuracy with `--select none` and with
`--select support` and the mean of their differences ± its standard error over the seeds, in points. At one shot nothing
can be left out and the two are the same. Test labels compare two protocols that are fixed beforehand; they choose
nothing within them.
"""

from __future__ import annotations

import argparse
import time
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from adapters.fitting.recipe import build
from adapters.head import Head
from adapters.methods import METHODS
from adapters.selection.regimes import NONE, SUPPORT, Regime, choose
from adapters.tasks.task import Task
from featcache.cache.catalogue import open_cache
from featcache.cache.reading import Cache

SKIPPED = ("meta", "mma", "cil-linear", "cil-attention", "rapf")
"""Methods that learn elsewhere, or class by class, or for minutes."""


def accuracy(method: str, task: Task, regime: Regime) -> float:
    """Test accuracy of a head fitted under a regime, in percent."""
    asked = build(METHODS[method], {}, logit_scale=float(task.text.logit_scale), seed=task.seed, device="auto")
    support = task.support
    head = choose(asked, task, regime).fit(support.inputs, support.labels, text=task.text)
    return 100 * head.score(task.test.images, task.test.labels)


def measure(method: str, cache: Cache, shots: int, seeds: range) -> NDArray[np.float64]:
    """Accuracies (seeds, 2) of `none` and `support`."""
    tasks = [Task.sample(cache, shots=shots, seed=seed) for seed in seeds]
    return np.array([[accuracy(method, task, NONE), accuracy(method, task, SUPPORT)] for task in tasks])


def cell(pairs: NDArray[np.float64]) -> tuple[float, str]:
    """The mean difference, and the text of a table's cell."""
    none, support = pairs.mean(0)
    differences = pairs[:, 1] - pairs[:, 0]
    error = differences.std(ddof=1) / len(pairs) ** 0.5 if len(pairs) > 1 else float("nan")
    return float(differences.mean()), f"{none:.1f} → {support:.1f}: {differences.mean():+.1f} ± {error:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = [name for name in METHODS if name not in SKIPPED and METHODS[name]._tuned is not Head._tuned]
    parser.add_argument("--methods", nargs="+", choices=chosen, default=chosen)
    parser.add_argument("--caches", nargs="+", default=["digits-tiny", "eurosat-tiny"])
    parser.add_argument("--seeds", default="1-10", help="first-last")
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--root", help="of the caches; default as everywhere")
    options = parser.parse_args()
    first, last = (int(end) for end in options.seeds.split("-"))
    counts = [int(shots) for shots in options.shots.split(",")]
    caches = [open_cache(name, options.root) for name in options.caches]
    print(f"| method | cache | {' | '.join(f'{shots} shots' for shots in counts)} | mean difference | seconds |")
    print("|---|---|" + "---|" * (len(counts) + 2))
    for method in options.methods:
        means = []
        for cache in caches:
            began = time.perf_counter()
            cells = [cell(measure(method, cache, shots, range(first, last + 1))) for shots in counts]
            means.append(mean(difference for difference, _ in cells))
            texts = " | ".join(text for _, text in cells)
            took = time.perf_counter() - began
            print(f"| {method} | {cache.name} | {texts} | {means[-1]:+.2f} | {took:.0f} |", flush=True)
        blank = " | ".join([""] * len(counts))
        print(f"| {method} | mean of caches | {blank} | {mean(means):+.2f} | |", flush=True)


if __name__ == "__main__":
    main()
