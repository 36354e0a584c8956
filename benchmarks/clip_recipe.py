"""Our `clip` fit against the published recipe as a plain PyTorch loop, on the features of a cache, in one run.

    python -m benchmarks.clip_recipe --caches digits-tiny eurosat-tiny [--shots 16] [--seeds 10] [--lrs 0.002 0.1]

The recipe: 200 epochs in batches of 32, SGD, one warm-up epoch, cosine per epoch, learning rate 0.002 (Gao et al.,
CLIP-Adapter, arXiv 2110.04544); ours defaults to 0.1, and a line compares equal rates. Both sides train from the same
initial weights on the same batches (`plain_clip.py`), with one view an image. A seed is that of the shots and of the
training. Hyper-parameters are fixed; accuracies are of the test split, mean and standard deviation over the seeds.

Times are of a training. `fit` and the loop take turns for each seed, and the ratio is the median over the seeds; last,
all seeds are fitted as one program, and its ratio is of the sums. The loop runs with torch's default number of threads,
or with --threads.
"""

from __future__ import annotations

import argparse
import platform
from statistics import mean, median, stdev
from typing import NamedTuple

import torch

from adapters import ClipAdapter
from adapters.arrays import unit
from adapters.support import Support
from adapters.tasks.task import Task
from adapters.training.stacking import fit_supports
from benchmarks.plain_clip import Plain
from benchmarks.timing import timed
from featcache.cache.catalogue import open_cache


class Seed(NamedTuple):
    """What one seed gave: seconds, and test accuracies in percent, of both sides."""

    loop: float
    fit: float
    loop_accuracy: float
    fit_accuracy: float


def measure(name: str, options: argparse.Namespace, lr: float) -> str:
    """The cells of one line of the table."""
    cache, found, supports = open_cache(name, options.root), [], []
    shots, seeds, epochs = options.shots, options.seeds, options.epochs
    for seed in range(1, seeds + 1):
        task = Task.sample(cache, shots=shots, seed=seed)
        support = Support.check(task.support.images, task.support.labels, task.text)
        rows, labels = unit(task.test.images), task.test.labels
        head = ClipAdapter(lr=lr, epochs=epochs, seed=seed, device="cpu")
        plain = Plain(support)
        loop_seconds, weights = timed(plain.train, head)
        fit_seconds, _ = timed(head._fit_support, support)
        said = plain.logits(head, weights, torch.from_numpy(rows)).argmax(1).numpy()
        right = (said == labels).mean(), (head.predict(rows) == labels).mean()
        found.append(Seed(loop_seconds, fit_seconds, *(100 * float(each) for each in right)))
        supports.append(support)
    heads = [ClipAdapter(lr=lr, epochs=epochs, seed=seed, device="cpu") for seed in range(1, seeds + 1)]
    together, _ = timed(lambda: [*fit_supports(heads, supports)])
    loop, fit, loop_accuracy, fit_accuracy = zip(*found, strict=True)
    times = f"{median(loop):.2f} | {median(fit):.2f} | {together / seeds:.2f}"
    ratios = f"{median(each.loop / each.fit for each in found):.1f} | {sum(loop) / together:.1f}"
    spreads = (stdev(each) if seeds > 1 else float("nan") for each in (loop_accuracy, fit_accuracy))
    means = (mean(loop_accuracy), mean(fit_accuracy))
    accuracies = (f"{value:.2f} ± {spread:.2f}" for value, spread in zip(means, spreads, strict=True))
    return " | ".join([name, f"{lr:g}", times, ratios, *accuracies])


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caches", nargs="+", required=True)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--lrs", nargs="+", type=float, default=[0.002, 0.1])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--root", help="of the caches; default as everywhere")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, ", end="")
    print(f"{options.threads} thread(s), {options.shots} shots, seeds 1 to {options.seeds}; seconds of a training:")
    print()
    print(
        "| cache | lr | loop | `fit` | all seeds in one program | `fit` is faster | the program is faster | "
        "accuracy of the loop | of `fit` |"
    )
    print("|" + "---|" * 9)
    for name in options.caches:
        for lr in options.lrs:
            print(f"| {measure(name, options, lr)} |", flush=True)


if __name__ == "__main__":
    main()
