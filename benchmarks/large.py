"""Every method at ImageNet's size: 1,000 classes x 16 shots, 50,000 test rows, D = 512, synthetic features.

    python benchmarks/large.py [METHOD …]

Prints seconds to fit and to score, and peak memory, each method in a process of its own. Accuracy is printed only to
show that something was learnt: the features are Gaussian clouds around random class directions.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

CLASSES, SHOTS, TEST_ROWS, DIM = 1_000, 16, 50_000, 512


def features(rng: np.random.Generator, directions: np.ndarray, labels: np.ndarray, noise: float) -> np.ndarray:
    """Unit-variance noise around the direction of each row's class, (N, D) float32."""
    scatter = rng.standard_normal((len(labels), DIM), dtype=np.float32)
    return np.asarray(directions[labels] + noise * scatter, dtype=np.float32)


def measure(method: str) -> dict[str, float]:
    """Fit and score one method; seconds, GiB and fractions."""
    from adapters.methods import get

    rng = np.random.default_rng(0)
    directions = rng.standard_normal((CLASSES, DIM), dtype=np.float32)
    text = directions + 2.0 * rng.standard_normal((CLASSES, DIM), dtype=np.float32)
    labels = np.repeat(np.arange(CLASSES), SHOTS)
    support = features(rng, directions, labels, noise=3.0)
    test_labels = rng.integers(0, CLASSES, TEST_ROWS)
    test = features(rng, directions, test_labels, noise=3.0)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    head = get(method)().fit(support, labels, text=text)
    fitted = time.perf_counter()
    accuracy = float((head.decision_function(test).argmax(1) == test_labels).mean())
    scored = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "fit": fitted - began,
        "score": scored - fitted,
        "peak": peak / 2**20,
        "inputs": base / 2**20,
        "accuracy": accuracy,
    }


def main() -> None:
    """Measure the methods named, or all."""
    from adapters.methods import METHODS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="default: all")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    print(f"{'method':14} {'fit s':>8} {'score s':>8} {'peak GiB':>9} {'inputs GiB':>11} {'accuracy':>9}")
    for method in options.methods or METHODS:
        done = subprocess.run([sys.executable, __file__, "--one", method], capture_output=True, text=True)
        if done.returncode:
            print(f"{method:14} FAILED: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        found = json.loads(done.stdout)
        numbers = (found["fit"], found["score"], found["peak"], found["inputs"], found["accuracy"])
        print(
            f"{method:14} {numbers[0]:8.1f} {numbers[1]:8.1f} {numbers[2]:9.2f} {numbers[3]:11.2f} {numbers[4]:9.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
