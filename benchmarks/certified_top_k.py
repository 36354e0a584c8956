"""Certified predictions of a large Tip-Adapter cache against the dense formula, in one run on synthetic features.

    python -m benchmarks.certified_top_k [--keys 1000000] [--classes 100] [--queries 300] [--dim 512] [--threads 1]
                                         [--betas 1 5.5 10 20 50] [--neighbours 0 100 1000] [--repeats 3]
    python -m benchmarks.certified_top_k --index ivf hnsw --keys 100000 --neighbours 10 100 1000

Logits are 100 f T^T + alpha exp(-beta (1 - f F^T)) Y. The dense side is `KeyCache.votes` over all keys, which works in
blocks; the published formula with one product for all keys is timed once beside it. The certified side is
`certified_logits`: class moments, then K neighbours, then the dense formula for what is left. Each repeat times both in
turn; ratios are medians of the repeats'. Two alphas: 1, with which the votes of a million keys drown the text, and what
gives the cache the weight of 16 keys a class, as at Tip-Adapter's 16 shots with its alpha of 1.

Reported: rows certified by the moments and by neighbours, how many predictions both sides share, how far a certified
row's logits are from the dense ones (the largest difference in a row over the range of its dense logits; median and
worst), and the memory that the certified side took beside the index. With approximate indexes nothing is certified:
reported are the share of the true neighbours found (recall) and of predictions shared.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple, ParamSpec, TypeVar

import faiss
import numpy as np
import torch

from adapters.arrays import Floats, Ints, unit
from adapters.heads.tip.certified import Certified, certified_logits, product_error
from adapters.heads.tip.key_cache import KeyCache
from adapters.heads.tip.key_index import IndexKind
from benchmarks.timing import timed

CLASS, SAMPLE, TEXT, NOISE = 0.5, 0.7, 0.3, 0.1
"""Of the synthetic features beside a common cone of norm 1: spread of the class means and of the samples about them;
how much the text knows of the means, and its noise. Cosines are 0.71 +- 0.08 within classes, 0.56 +- 0.10 between."""
ROWS = 50_000
PUBLISHED = 50
"""Queries that the published formula is timed on: its affinities of all queries at once would not fit in memory."""
MOST_ONE_HOT = 1 << 28
"""Entries of the published formula's one-hot matrix, of 8 bytes; with more it is not run."""
CPU = torch.device("cpu")

P = ParamSpec("P")
T = TypeVar("T")


class Data(NamedTuple):
    """Unit keys (N, D) with labels (N,), unit queries (Q, D) with labels (Q,), zero-shot logits (Q, C)."""

    keys: Floats
    key_labels: Ints
    queries: Floats
    labels: Ints
    base: Floats


def synthetic(keys: int, classes: int, queries: int, dim: int, seed: int = 0) -> Data:
    """Features in a cone, with eigenvalues that fall as 1 / i, and text that half knows the class means."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    scale /= np.linalg.norm(scale)

    def normal(rows: int) -> Floats:
        drawn: Floats = rng.standard_normal((rows, dim), dtype=np.float32) * scale
        return drawn

    cone, text_cone, means = normal(1), normal(1), normal(classes)
    key_labels, labels = np.arange(keys) % classes, rng.integers(classes, size=queries)
    rows = np.empty((keys, dim), dtype=np.float32)
    for start in range(0, keys, ROWS):
        part = key_labels[start : start + ROWS]
        rows[start : start + ROWS] = unit(cone + CLASS * means[part] + SAMPLE * normal(len(part)))
    seen = unit(cone + CLASS * means[labels] + SAMPLE * normal(queries))
    text = unit(text_cone + TEXT * means + NOISE * normal(classes))
    return Data(rows, key_labels, seen, labels, 100 * (seen @ text.T))


def published(keys: Floats, key_labels: Ints, queries: Floats, classes: int, beta: float) -> torch.Tensor:
    """Cache logits as in the released code, without blocks."""
    values = torch.nn.functional.one_hot(torch.from_numpy(key_labels), classes).float()
    affinity = torch.from_numpy(queries) @ torch.from_numpy(keys).T
    return (-(beta - beta * affinity)).exp() @ values


def peak(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> tuple[float, T]:
    """MiB that the process grew by at most during a call, and the result (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the high-water mark back to the present size
    before, result = _status("VmRSS"), call(*arguments, **options)
    return (_status("VmHWM") - before) / 1024, result


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))


def certified(cache: KeyCache, data: Data, alpha: float, beta: float, neighbours: int) -> Certified:
    """The certified side."""
    error = product_error(data.queries.shape[1] + 2, 100.1)
    settings = {"alpha": alpha, "beta": beta, "base_error": error}
    return certified_logits(cache, data.queries, data.base, neighbours=neighbours, **settings)


def flat_table(data: Data, alphas: tuple[float, float], options: argparse.Namespace) -> None:
    """Certificates against the dense formula."""
    few = data.queries[:PUBLISHED]
    if options.keys * options.classes <= MOST_ONE_HOT:
        memory, (seconds, _) = peak(timed, published, data.keys, data.key_labels, few, options.classes, 5.5)
        print(f"published formula on {len(few)} queries: {seconds:.1f} s, {memory:,.0f} MiB beside the keys")
    cache = KeyCache(data.keys, data.key_labels, options.classes, CPU)
    data = data._replace(keys=data.keys[:0])  # the index has a copy
    memory, (seconds, _) = peak(timed, cache.votes, few, 5.5)
    print(f"blocked on {len(few)} queries: {seconds:.1f} s, {memory:,.0f} MiB")
    memory, (seconds, moments) = peak(timed, lambda: cache.moments)
    kept = sum(array.nbytes for array in moments if isinstance(array, np.ndarray)) / 2**20
    print(f"class moments: {seconds:.1f} s, {memory:,.0f} MiB to compute, {kept:,.0f} MiB kept, ", end="")
    print(f"{moments.values.shape[1]} eigenvectors a class\n")
    print("| alpha | beta | accuracy | K | by moments | by neighbours | all keys | equal | logits off ", end="")
    print("| times faster | MiB |\n|---|---|---|---|---|---|---|---|---|---|---|")
    for beta in options.betas:
        for alpha in alphas:
            for neighbours in options.neighbours:
                ratios, most = [], 0.0
                for _ in range(options.repeats):
                    dense, votes = timed(cache.votes, data.queries, beta)
                    memory, (ours, found) = peak(timed, certified, cache, data, alpha, beta, neighbours)
                    ratios.append(dense / ours)
                    most = max(most, memory)
                logits = data.base + np.float32(alpha) * votes
                accuracy = (logits.argmax(1) == data.labels).mean()
                equal = int((found.logits.argmax(1) == logits.argmax(1)).sum())
                off = (np.abs(found.logits - logits).max(1) / np.ptp(logits, axis=1))[found.certified]
                shares = (found.by_moments.mean(), found.by_neighbours.mean(), 1 - found.certified.mean())
                cells = [f"{alpha:.2g}", f"{beta:g}", f"{accuracy:.1%}", f"{neighbours}"]
                cells += [f"{share:.1%}" for share in shares] + [f"{equal} of {len(logits)}"]
                cells += [f"{np.median(off):.2%}, {off.max():.2%}" if len(off) else "-"]
                print("|", " | ".join([*cells, f"{median(ratios):.2f}", f"{most:.0f}"]), "|", flush=True)


def approximate_table(kind: IndexKind, data: Data, alphas: tuple[float, float], options: argparse.Namespace) -> None:
    """What an approximate index gives: nothing certified."""
    exact = KeyCache(data.keys, data.key_labels, options.classes, CPU)
    built, cache = timed(KeyCache, data.keys, data.key_labels, options.classes, CPU, kind)
    print(f"{kind} built in {built:.1f} s; equal predictions at alpha = {alphas[0]:.2g} and {alphas[1]:.2g}\n")
    print("| index | K | recall | times faster | beta | equal | equal |\n|---|---|---|---|---|---|---|")
    for neighbours in options.neighbours:
        ratios = []
        for _ in range(options.repeats):
            dense, _ = timed(exact.votes, data.queries, 5.5)
            ours, _ = timed(cache.votes, data.queries, 5.5, neighbours)
            ratios.append(dense / ours)
        found, true = (
            np.concatenate([rows for _, _, rows in each.nearest(data.queries, neighbours)]) for each in (cache, exact)
        )
        recall = np.mean([len(np.intersect1d(a, b)) / neighbours for a, b in zip(found, true, strict=True)])
        for beta in options.betas:
            full, some = exact.votes(data.queries, beta), cache.votes(data.queries, beta, neighbours)
            equal = [
                ((data.base + alpha * full).argmax(1) == (data.base + alpha * some).argmax(1)).mean()
                for alpha in alphas
            ]
            cells = [f"{recall:.1%}", f"{median(ratios):.1f}", f"{beta:g}", *(f"{share:.1%}" for share in equal)]
            print(f"| {kind} | {neighbours} |", " | ".join(cells), "|", flush=True)


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", nargs="+", choices=("flat", "ivf", "hnsw"), default=["flat"])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--betas", nargs="+", type=float, default=[1.0, 5.5, 10.0, 20.0, 50.0])
    parser.add_argument("--neighbours", nargs="+", type=int, default=[0, 100, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and FAISS; NumPy's: OMP_NUM_THREADS")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}, ", end="")
    print(f"faiss {faiss.__version__}, {platform.machine()}, {options.threads} thread(s)")
    for kind in options.index:
        data = synthetic(options.keys, options.classes, options.queries, options.dim)
        alphas = (1.0, 16 * options.classes / options.keys)
        print(
            f"\n{options.keys:,} keys, {options.classes} classes, {options.queries} queries, D = {options.dim}; ",
            end="",
        )
        print(f"zero-shot accuracy {(data.base.argmax(1) == data.labels).mean():.1%}")
        if kind == "flat":
            flat_table(data, alphas, options)
        else:
            approximate_table(kind, data, alphas, options)


if __name__ == "__main__":
    main()
