"""Every method at ImageNet's size: 1,000 classes x 16 shots, 50,000 test rows, D = 512, synthetic features.

    python -m benchmarks.large [METHOD …] [--classes 1000] [--shots 16] [--rows 50000] [--dim 512]

Prints seconds to fit and to score, and peak memory, each method in a process of its own. Accuracy is printed only to
show that something was learnt: the features are Gaussian clouds around random class directions.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Floats
from benchmarks.timing import timed

SIZES = {"classes": 1_000, "shots": 16, "rows": 50_000, "dim": 512}


def features(rng: np.random.Generator, directions: Floats, labels: NDArray[np.int64], noise: float) -> Floats:
    """Unit-variance noise around the direction of each row's class, (N, D) float32."""
    scatter = rng.standard_normal((len(labels), directions.shape[1]), dtype=np.float32)
    return np.asarray(directions[labels] + noise * scatter, dtype=np.float32)


def measure(method: str, classes: int, shots: int, rows: int, dim: int) -> dict[str, float]:
    """Fit and score one method; seconds, GiB and fractions."""
    from adapters.methods import METHODS

    rng = np.random.default_rng(0)
    directions = rng.standard_normal((classes, dim), dtype=np.float32)
    text = directions + 2.0 * rng.standard_normal((classes, dim), dtype=np.float32)
    labels = np.repeat(np.arange(classes), shots)
    support = features(rng, directions, labels, noise=3.0)
    test_labels = rng.integers(0, classes, rows)
    test = features(rng, directions, test_labels, noise=3.0)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit_seconds, head = timed(METHODS[method]().fit, support, labels, text=text)
    score_seconds, logits = timed(head.decision_function, test)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "fit": fit_seconds,
        "score": score_seconds,
        "peak": peak / 2**20,
        "inputs": base / 2**20,
        "accuracy": float((logits.argmax(1) == test_labels).mean()),
    }


def main() -> None:
    """Measure the methods named, or all."""
    from adapters.methods import METHODS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="default: all")
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in SIZES}
    if options.one:
        print(json.dumps(measure(options.one, **sizes)))
        return
    itself = [sys.executable, "-m", "benchmarks.large", *(f"--{name}={size}" for name, size in sizes.items())]
    print(f"{'method':14} {'fit s':>8} {'score s':>8} {'peak GiB':>9} {'inputs GiB':>11} {'accuracy':>9}")
    for method in options.methods or METHODS:
        done = subprocess.run([*itself, "--one", method], capture_output=True, text=True)
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
