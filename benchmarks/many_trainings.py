"""Many CLIP-Adapters: one stacked program against a plain PyTorch loop that trains one after another, in one run.

    python -m benchmarks.many_trainings [--dims 512 1024 128] [--configs 105] [--repeats 5] [--device cuda]

The configurations are a grid of residual ratios and learning rates on one support set of EuroSAT's size (10 classes of
16 shots) with synthetic features: batches of 32, 200 epochs, 1,000 steps. Both sides take the same initial weights,
batches and rates (`plain_clip.py`). The plain loop is timed on `--plain` of the configurations, spread over the grid,
for `--plain-epochs` epochs of each, and its time is scaled to all: what a step does depends on none of the settings. It
runs with torch's default number of threads and, on a CPU, with one as well. Ours trains all to the end, as `fit_many`
does by itself; and some to the end by `fit`, one head after another.

Each repeat times all in turn, so that whatever else the machine does falls on all; figures are medians of the repeats,
of times and of ratios. Then the sides are compared by the weights that whole trainings end with and by predictions on
2,000 rows, beside the distance that the plain loop itself keeps from its own float64 run: training makes rounding grow.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor
from torch.nn.functional import normalize

from adapters import ClipAdapter
from adapters.support import Support
from adapters.training.stacking import fit_supports
from benchmarks.plain_clip import Plain
from benchmarks.timing import timed

CLASSES, SHOTS, QUERIES = 10, 16, 2000
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def synthetic(dim: int) -> tuple[Support, Tensor]:
    """A support set in a cone of low rank, as CLIP's features are, and unit rows (Q, D) to predict."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(64, dim, generator=generator) / dim**0.5

    def normal(rows: int) -> Tensor:
        return torch.randn(rows, 64, generator=generator).div(8).mm(basis)

    cone, means = normal(1), normal(CLASSES)
    labels = torch.arange(CLASSES).repeat_interleave(SHOTS)
    rows = cone + 0.4 * means[labels] + 0.7 * normal(len(labels))
    queries = cone + 0.4 * means[torch.randint(CLASSES, (QUERIES,), generator=generator)] + 0.7 * normal(QUERIES)
    return Support.check(rows, labels, normal(1) + 0.3 * means + 0.1 * normal(CLASSES)), normalize(queries)


def grid(count: int, epochs: int, device: str) -> list[ClipAdapter]:
    """Heads of `count` settings: learning rates within residual ratios from 0.05 up."""
    ratios = np.linspace(0.05, 1, -(-count // len(RATES)))
    cells = [(float(alpha), lr) for alpha in ratios for lr in RATES][:count]
    return [
        ClipAdapter(alpha=alpha, lr=lr, seed=i, epochs=epochs, device=device) for i, (alpha, lr) in enumerate(cells)
    ]


class Race:
    """Both sides on one support set.

    Args:
        dim: D.
        options: of the command line.
    """

    def __init__(self, dim: int, options: argparse.Namespace) -> None:
        self.options, self.threads = options, torch.get_num_threads()
        self.support, self.queries = synthetic(dim)
        self.plain = Plain(self.support, options.device)
        self.heads = grid(options.configs, options.epochs, options.device)
        self.places = np.linspace(0, options.configs - 1, options.plain).astype(int).tolist()
        steps = len(self.heads[0]._plan(self.support).rates)
        self.steps: tuple[int, int] = steps, steps // options.epochs * options.plain_epochs

    def loop(self, threads: int) -> float:
        """Seconds of a step in the plain loop."""
        heads = [clone(self.heads[i]).set_params(epochs=self.options.plain_epochs) for i in self.places]
        torch.set_num_threads(threads)
        seconds = self.timed(lambda: [self.plain.train(head) for head in heads])
        torch.set_num_threads(self.threads)
        return seconds / len(heads) / self.steps[1]

    def one_by_one(self) -> float:
        """Seconds of a step by `fit`."""
        heads = [clone(self.heads[i]) for i in self.places]
        return self.timed(lambda: [head._fit_support(self.support) for head in heads]) / len(heads) / self.steps[0]

    def together(self) -> float:
        """Seconds of a step of a training where all are one program."""
        return self.timed(lambda: fit(self.heads, self.support)) / len(self.heads) / self.steps[0]

    def timed(self, call: Callable[[], object]) -> float:
        """Seconds, to the end of what was launched."""

        def to_the_end() -> None:
            call()
            if self.options.device != "cpu":
                torch.cuda.synchronize()

        return timed(to_the_end)[0]

    def line(self) -> str:
        """The cells of one line of the table."""
        fit(grid(2, 2, self.options.device), self.support)  # loads kernels, starts threads
        cpu, times = self.options.device == "cpu", []
        for _ in range(self.options.repeats):
            single = self.loop(1) if cpu else float("nan")
            times.append((self.loop(self.threads), single, self.one_by_one(), self.together()))
        figures = [f"{1e3 * median(column):.3f}" for column in zip(*times, strict=True)]
        ratios = [f"{median(t[i] / t[3] for t in times):.1f}" for i in range(3)]
        return " | ".join([str(self.support.text.shape[1]), *figures, *ratios, *self.agreement()])

    def agreement(self) -> list[str]:
        """Largest distance of weights, ours and the plain loop's own from float64, and predictions that differ."""
        exact = Plain(self.support, dtype=torch.float64)
        ours, theirs, changed = 0.0, 0.0, 0
        for i in self.places:
            head, plain = self.heads[i], self.plain.train(self.heads[i])
            mine = torch.from_numpy(head.w1_), torch.from_numpy(head.w2_)
            for a, b, reference in zip(mine, plain, exact.train(head), strict=True):
                ours, theirs = (max(o, float((w - reference).abs().max())) for o, w in ((ours, a), (theirs, b)))
            said = exact.logits(head, plain, self.queries).argmax(1).numpy()
            changed += int((head.predict(self.queries) != said).sum())
        return [f"{ours:.0e}", f"{theirs:.0e}", f"{changed} of {len(self.places) * len(self.queries)}"]


def fit(heads: list[ClipAdapter], support: Support) -> None:
    """Fit all as one program."""
    for _ in fit_supports(heads, [support] * len(heads)):
        pass


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", nargs="+", type=int, default=[512, 1024, 128])
    parser.add_argument("--configs", type=int, default=105)
    parser.add_argument("--plain", type=int, default=3, help="configurations that the plain loop trains")
    parser.add_argument("--plain-epochs", type=int, default=20, help="epochs of them that are timed")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, ", end="")
    print(f"{options.device}, {torch.get_num_threads()} threads, {options.configs} configurations")
    print("Milliseconds per configuration and step, and how many times faster the one program is:")
    print()
    print(
        "| D | plain | plain, 1 thread | ours, one by one | ours, one program | than plain | than plain, 1 thread | "
        "than ours one by one | weights off float64 | plain's | predictions that differ |"
    )
    print("|" + "---|" * 11)
    for dim in options.dims:
        print(f"| {Race(dim, options).line()} |", flush=True)


if __name__ == "__main__":
    main()
