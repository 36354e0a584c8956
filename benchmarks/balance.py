"""Unbalanced shots: what balancing the loss of trained heads does, on validation images.

    python -m benchmarks.balance --sets features.npz … [--heads clip,taskres,…] [--seeds 1-5] [--largest 16]

Of every class, in an order that the seed draws, n_c images are drawn, n_c falling geometrically from the largest to 1;
beside it as many of each class as makes about the same number of images, where nothing is balanced. Prints Markdown:
for every head and way of balancing the mean over the seeds of accuracy and balanced accuracy on the validation rows, in
percent, and in how many draws each is above that without balancing. Files are those of `benchmarks.feature_sets`, with
`val_features` and `val_labels`; test rows are not read. All trainings of a set are one call of `fit_many`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import numpy as np

from adapters.arrays import Floats, Ints, unit
from adapters.fitting.recipe import build
from adapters.methods import METHODS
from adapters.training.balance import Balanced
from adapters.training.stacking import fit_many
from benchmarks.feature_sets import LOGIT_SCALE, Text

HEADS = "clip,tip-f,taskres,zs-lp,clap,lp++,reg-linear,gated"
WAYS = get_args(Balanced)
Draw = tuple[Floats, Ints, Text]


def sizes(classes: int, largest: int) -> Ints:
    """Shots n_c (C,), falling geometrically from the largest to 1."""
    return np.rint(largest ** np.linspace(1, 0, classes)).astype(np.int64)


def drawn(X: Floats, y: Ints, text: Text, counts: Ints, seed: int) -> Draw:
    """n_c rows of each class."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:n] for c, n in enumerate(counts)])
    return X[rows], y[rows], text


def draws(X: Floats, y: Ints, text: Text, largest: int, seeds: range) -> dict[tuple[str, int], Draw]:
    """Of each seed an unbalanced draw, and one of as many images with as many of each class, to one."""
    found: dict[tuple[str, int], Draw] = {}
    for seed in seeds:
        counts = sizes(len(text.rows), largest)
        found["unbalanced", seed] = drawn(X, y, text, np.random.default_rng(seed).permutation(counts), seed)
        even = np.full(len(counts), max(1, round(counts.sum() / len(counts))))
        found["balanced", seed] = drawn(X, y, text, even, seed)
    return found


def scores(found: Ints, labels: Ints) -> tuple[float, float]:
    """Accuracy and balanced accuracy."""
    right = found == labels
    return float(right.mean()), float(np.mean([right[labels == c].mean() for c in np.unique(labels)]))


def main(words: list[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", required=True, type=Path)
    parser.add_argument("--heads", default=HEADS)
    parser.add_argument("--seeds", default="1-5")
    parser.add_argument("--largest", type=int, default=16)
    parser.add_argument("--epochs", type=int)
    asked = parser.parse_args(words)
    first, _, last = asked.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    for path in asked.sets:
        with np.load(path) as content:
            X, y, val, labels = (
                content[f"{split}_{what}"] for split in ("train16", "val") for what in ("features", "labels")
            )
            text = Text(unit(content["text_features"]), LOGIT_SCALE)
        tasks = draws(unit(X), y.astype(np.int64), text, asked.largest, seeds)
        cells = [(name, way, draw) for name in asked.heads.split(",") for way in WAYS for draw in tasks]
        given = {} if asked.epochs is None else {"epochs": asked.epochs}
        heads = [
            build(METHODS[name], {"balance": way, **given}, logit_scale=LOGIT_SCALE, seed=draw[1], device="auto")
            for name, way, draw in cells
        ]
        fit_many(heads, [tasks[draw] for _, _, draw in cells])
        found = {
            cell: scores(head.decision_function(unit(val)).argmax(1), labels)
            for cell, head in zip(cells, heads, strict=True)
        }
        print(f"{path.stem}: {len(seeds)} draws, 1 to {asked.largest} shots a class, {len(labels)} validation rows\n")
        print("| head | shots | balance | accuracy | balanced accuracy | above none |\n|---|---|---|---|---|---|")
        for name in asked.heads.split(","):
            for kind in ("unbalanced", "balanced"):
                plain = np.array([found[name, "none", (kind, seed)] for seed in seeds])
                for way in WAYS if kind == "unbalanced" else ("none",):
                    own = np.array([found[name, way, (kind, seed)] for seed in seeds])
                    above = " / ".join(f"{n} of {len(seeds)}" for n in (own > plain).sum(0))
                    mean = " | ".join(f"{100 * value:.2f}" for value in own.mean(0))
                    print(f"| {name} | {kind} | {way} | {mean} | {above} |")
        print(flush=True)


if __name__ == "__main__":
    main()
