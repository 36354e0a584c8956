"""How much better a head is whose images were labelled in the order of `adapters suggest` than at random.

    python -m benchmarks.suggest [--sets digits-tiny features.npz …] [--seeds 0-9] [--a-class 1,2,4,8] [--pool 1500]
        [--heads linear zs-lp] [--orders suggest TypiClust …] [--root FOLDER]

Each seed draws a pool of unlabelled images from what a set has to learn from (of a file `train16` and `val`, see
`benchmarks/feature_sets.py`). The first images to be labelled are ranked without a head, one for each class on average;
with a head on these the next ones, and so on: 1, 2, 4, 8 a class on average. After each round the head is scored on all
test images. Rankings are in `benchmarks/label_orders.py`; zero-shot gives the probabilities that margin and BADGE need
in the first round. Prints Markdown, in percent: accuracy at each number of labels, and the mean difference to a random
order of the same pool with its standard error over the seeds. Test labels compare rankings that are fixed beforehand.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Floats, Ints, unit
from adapters.fitting.recipe import build
from adapters.methods import METHODS
from adapters.metrics import softmax
from benchmarks.feature_sets import LOGIT_SCALE, Text
from benchmarks.label_orders import ORDERS, Order
from featcache.cache.catalogue import open_cache

BASE = "random"


class Data(NamedTuple):
    """Unit rows to learn from with their labels, to be scored on with theirs, and the classes' text."""

    X: Floats
    y: Ints
    test: Floats
    labels: Ints
    text: Text


def read(name: str, root: str | None) -> Data:
    """A cache by its name, or a file of features."""
    if not name.endswith(".npz"):
        cache = open_cache(name, root)
        train, test = cache["train"], cache["test"]
        text = Text(cache.text.weights(), float(cache.text.logit_scale))
        return Data(unit(train.images), train.labels, unit(test.images), test.labels, text)
    with np.load(name) as content:
        there = [part for part in ("train16", "val") if f"{part}_features" in content]
        X, y = (np.concatenate([content[f"{part}_{what}"] for part in there]) for what in ("features", "labels"))
        test, labels = content["test_features"], content["test_labels"].astype(np.int64)
        return Data(unit(X), y.astype(np.int64), unit(test), labels, Text(unit(content["text_features"]), LOGIT_SCALE))


def curve(data: Data, order: Order, head: str, a_class: list[int], seed: int, pool: int) -> list[float]:
    """Accuracy after each round of labels."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(data.X))[:pool])
    X, y, text = data.X[drawn], data.y[drawn], data.text
    p = softmax(text.logit_scale * (X @ text.rows.T))
    known = np.empty(0, np.int64)
    found = []
    for of_class in a_class:
        known = np.append(known, order(X, known, p, of_class * len(text.rows) - len(known), seed))
        made = build(METHODS[head], {}, logit_scale=text.logit_scale, seed=1, device="cpu")
        fitted = made.fit(X[known], y[known], text=text)
        found.append(float((fitted.predict(data.test) == data.labels).mean()))
        p = fitted.predict_proba(X).astype(np.float64)
    return found


def told(curves: NDArray[np.float64], base: NDArray[np.float64]) -> list[str]:
    """Accuracy and difference to the base at each number of labels, and over all; curves (seeds, rounds) in percent."""
    apart = curves - base
    error = apart.std(0, ddof=1) / len(apart) ** 0.5 if len(apart) > 1 else np.zeros(apart.shape[1])
    cells = [
        f"{accuracy:.2f} ({difference:+.2f} ± {e:.2f})"
        for accuracy, difference, e in zip(curves.mean(0), apart.mean(0), error, strict=True)
    ]
    return [*cells, f"{apart.mean():+.2f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["digits-tiny"])
    parser.add_argument("--seeds", default="0-9", help="first-last")
    parser.add_argument("--a-class", default="1,2,4,8", help="labels a class on average, after each round")
    parser.add_argument("--pool", type=int, default=1500, help="unlabelled images of a seed")
    parser.add_argument("--heads", nargs="+", default=["linear", "zs-lp"], choices=list(METHODS))
    parser.add_argument("--orders", nargs="+", default=list(ORDERS), choices=list(ORDERS))
    parser.add_argument("--root", help="of the caches; default as everywhere")
    options = parser.parse_args()
    first, last = (int(end) for end in options.seeds.split("-"))
    a_class = [int(number) for number in options.a_class.split(",")]
    print(f"| set | head | order | {' | '.join(f'{n} a class' for n in a_class)} | mean |")
    print("|---|---|---|" + "---|" * (len(a_class) + 1))
    for name in options.sets:
        data, title = read(name, options.root), Path(name).stem
        for head in options.heads:
            asked = [BASE, *(order for order in options.orders if order != BASE)]
            curves = {
                order: 100
                * np.array([curve(data, ORDERS[order], head, a_class, s, options.pool) for s in range(first, last + 1)])
                for order in asked
            }
            for order, found in curves.items():
                print(f"| {title} | {head} | {order} | {' | '.join(told(found, curves[BASE]))} |", flush=True)


if __name__ == "__main__":
    main()
