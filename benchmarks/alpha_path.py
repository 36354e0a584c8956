"""Tip-Adapter's search: the published loop against the exact alpha path, in one run on synthetic features.

    python -m benchmarks.alpha_path [--sizes eurosat-512 dtd …] [--repeats 5] [--seeds 0 1 2] [--threads 1] [--full]

The published loop visits 200 betas x 20 alphas and recomputes affinities and zero-shot logits in every cell:

    logits = 100 f T^T + alpha exp(-beta (1 - f F^T)) Y

Against it stand (i) the exact path in alpha of each of the same 200 betas and (ii) that of few of them, closer around
the best (`refine`). Both compute the affinities once, inside the time measured. Each repeat times all three in turn, so
that whatever else the machine does falls on all; the figure is the median of the repeats' ratios.

The work of a cell depends on neither alpha nor beta, so the loop's time is that of `CELLS` cells spread over the grid,
times 4,000 / CELLS; with --full every cell is run, once a size. At ImageNet size 1,000 of the 50,000 rows are used on
both sides: all parts of both are linear in rows.

Accuracies are those of the published formula in float32: the best of all 4,000 cells, and at the pairs that (i) and
(ii) choose, within the range of the published alphas. Method and grid: Zhang et al., Tip-Adapter (arXiv 2111.03930).
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapters.heads.tip.tip_search import search_grid
from adapters.selection.beta_search import refine
from adapters.selection.exact_alpha import AlphaPath, alpha_path
from benchmarks.timing import timed

CELLS = 10
"""Cells of the published loop that are timed."""
RANK, SPREAD, BIAS, TEXT, TEXT_NOISE = 64, 0.4, 1.0, 0.3, 0.1
"""Of the synthetic features: their rank, how far classes lie apart, how far the keys' class means are off, how much
class text knows of the means, and its noise."""

Grid = NDArray[np.float64]


class Size(NamedTuple):
    """Query rows Q, classes C, shots K, dimensions D and the published upper ends of the grids of beta and alpha."""

    rows: int
    classes: int
    shots: int
    dim: int
    scale: tuple[float, float]


SIZES = {
    "eurosat-512": Size(8100, 10, 16, 512, (12.0, 10.0)),
    "eurosat-1024": Size(8100, 10, 16, 1024, (12.0, 10.0)),
    "dtd": Size(1692, 47, 16, 512, (13.0, 13.0)),
    "pets": Size(3669, 37, 16, 512, (7.0, 3.0)),
    "imagenet": Size(1000, 1000, 16, 512, (7.0, 3.0)),
}


class Problem(NamedTuple):
    """Unit queries (Q, D) with labels (Q,); unit keys (N, D) with labels (N,); unit class text (C, D)."""

    queries: Tensor
    labels: Tensor
    keys: Tensor
    key_labels: Tensor
    text: Tensor

    def grid_best(self, betas: Grid, alphas: Grid) -> float:
        """The best accuracy of all cells, each by its own `argmax`, with the affinities computed once."""
        base, gap = 100 * (self.text @ self.queries.T), self.keys @ self.queries.T - 1
        best = 0
        for beta in betas:
            votes = torch.zeros_like(base).index_add_(0, self.key_labels, (beta * gap).exp_())
            for alpha in alphas:
                best = max(best, int((torch.add(base, votes, alpha=alpha).argmax(0) == self.labels).sum()))
        return best / len(self.labels)

    @property
    def values(self) -> Tensor:
        """One-hot labels of the keys (N, C)."""
        return torch.nn.functional.one_hot(self.key_labels, len(self.text)).float()


def synthetic(size: Size, seed: int) -> Problem:
    """Unit features about class means, in a cone of low rank as CLIP's are, and text that half knows the means."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(RANK, size.dim, generator=generator) / size.dim**0.5

    def normal(rows: int) -> Tensor:
        drawn: Tensor = torch.randn(rows, RANK, generator=generator) / RANK**0.5 @ basis
        return drawn

    means, cone, text_cone = normal(size.classes), normal(1), normal(1)
    labels = torch.randint(size.classes, (size.rows,), generator=generator)
    key_labels = torch.arange(size.classes).repeat_interleave(size.shots)
    seen = means + BIAS * normal(size.classes)
    queries = cone + SPREAD * means[labels] + 0.7 * normal(size.rows)
    keys = cone + SPREAD * seen[key_labels] + 0.7 * normal(len(key_labels))
    text = text_cone + TEXT * means + TEXT_NOISE * normal(size.classes)
    unit = torch.nn.functional.normalize
    return Problem(unit(queries), labels, unit(keys), key_labels, unit(text))


def published(problem: Problem, cells: list[tuple[float, float]]) -> list[float]:
    """Accuracies of cells (beta, alpha) of the published loop, everything computed anew in each."""
    values, found = problem.values, []
    for beta, alpha in cells:
        affinity = problem.queries @ problem.keys.T
        cache_logits = (-(beta - beta * affinity)).exp() @ values
        clip_logits = 100.0 * problem.queries @ problem.text.T
        right = (clip_logits + alpha * cache_logits).argmax(1) == problem.labels
        found.append(int(right.sum()) / len(right))
    return found


def paths(problem: Problem, lo: float, hi: float) -> Callable[[float], AlphaPath]:
    """The exact path at any beta: affinities once, then one pass over them a beta.

    Keys are rows, queries columns: a class's votes are then sums of whole rows, which is fast for any C and K.
    """
    base = (100 * (problem.text @ problem.queries.T)).T
    gap = problem.keys @ problem.queries.T - 1
    sharp, votes = torch.empty_like(gap), torch.empty(len(problem.text), len(problem.queries))

    def path_at(beta: float) -> AlphaPath:
        torch.mul(gap, beta, out=sharp).exp_()
        delta = votes.zero_().index_add_(0, problem.key_labels, sharp).T
        return alpha_path(base, delta, problem.labels, lo=lo, hi=hi)

    return path_at


def exact_search(problem: Problem, betas: Grid, alphas: Grid, stride: int) -> tuple[float, AlphaPath, int]:
    """The chosen beta, its path and how many betas were tried."""
    path_at, found = paths(problem, alphas[0], alphas[-1]), dict[float, AlphaPath]()

    def best_at(some: Sequence[float]) -> list[int]:
        found.update({beta: path_at(beta) for beta in some})
        return [int(found[beta].correct.max()) for beta in some]

    refine(best_at, betas, stride=stride)
    best = min(found, key=lambda beta: (-int(found[beta].correct.max()), beta))
    return best, found[best], len(found)


def measure(size: Size, seed: int, repeats: int, full: bool) -> str:
    """The cells of one line of the table."""
    betas, alphas = search_grid(size.scale)
    cells = [(float(b), float(a)) for b in betas for a in alphas]
    sample = cells if full else cells[:: len(cells) // CELLS]
    problem = synthetic(size, seed)
    ratios = []
    for _ in range(1 if full else repeats):
        loop, seen = timed(published, problem, sample)
        every, all_betas = timed(exact_search, problem, betas, alphas, 1)
        few, refined = timed(exact_search, problem, betas, alphas, 16)
        loop *= len(cells) / len(sample)
        ratios.append((loop / every, loop / few))
    grid = max(seen) if full else problem.grid_best(betas, alphas)
    ours = published(problem, [(beta, path.best.alpha) for beta, path, _ in (all_betas, refined)])
    accuracies = [published(problem, [(1.0, 0.0)])[0], grid, *ours]
    return " | ".join(
        [
            str(seed),
            *(f"{accuracy:.2%}" for accuracy in accuracies),
            *(f"{median(column):.0f}" for column in zip(*ratios, strict=True)),
            str(refined[2]),
        ]
    )


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, for both sides")
    parser.add_argument("--full", action="store_true", help="run all 4,000 cells of the published loop, once")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}, ", end="")
    print(f"{platform.machine()}, {options.threads} thread(s)")
    print(
        "| size | seed | zero-shot | grid's best | (i) | (ii) | (i) times faster | (ii) times faster | betas of (ii) |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.sizes:
        for seed in options.seeds:
            print(f"| {name} | {measure(SIZES[name], seed, options.repeats, options.full)} |", flush=True)


if __name__ == "__main__":
    main()
