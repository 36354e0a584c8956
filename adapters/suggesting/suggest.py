"""What to label next in a cache: `adapters suggest`, and `adapters.suggest` in Python."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Doubles, Floats, Ints, unit
from adapters.errors import AdapterError, TaskError
from adapters.metrics import softmax
from adapters.parameters import is_integer
from adapters.suggesting.covering import ranked, uncertainty
from adapters.suggesting.results import Suggestion, Suggestions
from featcache.cache.labels_file import read_labels_file
from featcache.cache.layout import UNLABELLED

if TYPE_CHECKING:
    from adapters.head import Head
    from featcache.cache.reading import Cache

LEARNED_FROM, MEASURED_ON = "train", "test"
TO_MEASURE = 0.3
"""Share of the budget that goes to the test split while no image there has a label, as of a data set that is split
here."""


class _Rows(NamedTuple):
    """Unlabelled images: names of their splits, rows there and unit rows (N, D)."""

    splits: NDArray[np.str_]
    rows: Ints
    features: Floats


def suggest(
    cache: Cache,
    *,
    budget: int = 50,
    run: str | Path | None = None,
    root: str | None = None,
    device: str = "auto",
) -> Suggestions:
    """Rank the unlabelled images of the train split so that labelling the first ones helps most.

    While no test image has a label, three of ten suggestions are test images drawn at random: a score is measured on
    them. Where all of train is labelled, the unlabelled images of other splits are ranked.

    Args:
        cache: an opened cache, with mended labels (`Cache.relabelled`) or without.
        budget: images to suggest, 1 or more.
        run: a saved run that says what is uncertain; None: there is no head yet.
        root: where runs are looked for.
        device: where the run computes.

    Raises:
        AdapterError: a budget that is none.
        TaskError: no image is without a label.
        RunError: no such run, or one that was fitted on another cache.
    """
    if not is_integer(budget) or budget < 1:
        raise AdapterError(f"--budget {budget} given; expected 1 or more, such as --budget 50")
    began = time.perf_counter()
    head, name = None, None
    if run is not None:
        head, name, cache = _of_run(run, cache, root, device)
    note = ""
    learned = _unlabelled(cache, [LEARNED_FROM])
    if not len(learned.rows):
        learned = _unlabelled(cache, [split for split in cache.splits if split != LEARNED_FROM])
        note = f"no image of {LEARNED_FROM} is without a label: these are of other splits, where labels only measure"
    if not len(learned.rows):
        raise TaskError(f"every image of cache {cache.name} has a label: there is nothing to suggest")
    to_measure = _to_measure(cache, budget) if not note else np.empty(0, np.int64)
    if len(to_measure):
        note = f"{len(to_measure)} are of {MEASURED_ON}, at random: no image there has a label yet to measure on"
    known = _known(cache)
    p = _probabilities(cache, head, learned.features)
    weights = np.ones(len(learned.rows)) if head is None else uncertainty(p)
    found = ranked(learned.features, known, weights, max(1, budget - len(to_measure)))
    names = tuple(head.config["class_names"]) if head is not None else cache.class_names
    taught = _told(cache, learned, found.order, found.gains, p, names, by_head=head is not None)
    measured = _measured(cache, to_measure, head, names)
    return Suggestions(
        cache=cache.name,
        cache_digest=cache.digest,
        run=name,
        labels=cache.mended.to_json() if cache.mended else None,
        unlabelled=len(learned.rows) + (len(_unlabelled(cache, [MEASURED_ON]).rows) if len(to_measure) else 0),
        labelled=len(known),
        items=tuple(_mixed(taught, measured)[:budget]),
        note=note,
        seconds=round(time.perf_counter() - began, 3),
        lines=read_labels_file(cache.mended.file).lines if cache.mended else (),
        manifest=cache.manifest,
    )


def _of_run(run: str | Path, cache: Cache, root: str | None, device: str) -> tuple[Head, str, Cache]:
    """A saved head, its name, and the cache with the labels that it was fitted with, unless others were given."""
    from adapters.joining.opening import open_place
    from adapters.joining.places import placed_at
    from adapters.methods import load
    from adapters.runs.catalogue import find_run
    from adapters.runs.its_labels import with_labels
    from adapters.runs.opened import check_cache
    from adapters.tasks.seen import seen_by

    saved = find_run(run, root=root)
    head, report = load(saved.path, device=device), saved.require_report()
    if cache.name in [each.name for each in placed_at(report.cache)]:  # one of those that the run was fitted on
        joined = open_place(report.cache)
        cache = joined if cache.mended is None else joined.relabelled(cache.mended.file)
    check_cache(head.config, cache, saved.name)
    return head, saved.name, seen_by(type(head), with_labels(cache, report, None))


def _unlabelled(cache: Cache, splits: Sequence[str]) -> _Rows:
    """The readable images of some splits that have no label; those that mended labels leave out are not among them."""
    names, rows, features = [], [], []
    for split in splits:
        if split not in cache.splits:
            continue
        part = cache[split]
        open_ = np.flatnonzero(part.valid & (part.labels == UNLABELLED) & (part.stored_labels == UNLABELLED))
        names.append(np.full(len(open_), split))
        rows.append(open_)
        features.append(unit(part.take_images(open_)))
    if not rows:
        return _Rows(np.empty(0, np.str_), np.empty(0, np.int64), np.empty((0, 0), np.float32))
    return _Rows(np.concatenate(names), np.concatenate(rows), np.concatenate(features))


def _known(cache: Cache) -> Floats:
    """Unit rows (M, D) of what has a label to learn from."""
    if LEARNED_FROM not in cache.splits:
        return np.empty((0, 0), np.float32)
    part = cache[LEARNED_FROM]
    return unit(part.take_images(np.flatnonzero(part.labelled)))


def _to_measure(cache: Cache, budget: int) -> Ints:
    """Rows of the test split to label at random, the first ones first; none where some have a label."""
    if MEASURED_ON not in cache.splits or cache[MEASURED_ON].labelled.any():
        return np.empty(0, np.int64)
    rows = _unlabelled(cache, [MEASURED_ON]).rows
    return np.random.default_rng(0).permutation(rows)[: round(TO_MEASURE * budget)]


def _probabilities(cache: Cache, head: Head | None, features: Floats) -> NDArray[np.float64]:
    """Class probabilities (N, C), by a head or by zero-shot; (N, 0) where the cache has no classes."""
    if head is not None:
        return np.asarray(head.predict_proba(features), np.float64)
    if not cache.class_names:
        return np.empty((len(features), 0))
    text = cache.text
    return softmax(float(text.logit_scale) * (features @ unit(text.weights()).T))


def _told(
    cache: Cache,
    rows: _Rows,
    order: Ints,
    gains: Doubles,
    p: NDArray[np.float64],
    names: Sequence[str],
    *,
    by_head: bool,
) -> list[Suggestion]:
    found = []
    for number, gain in zip(order.tolist(), gains.tolist(), strict=True):
        split, row = str(rows.splits[number]), int(rows.rows[number])
        best = np.argsort(-p[number], kind="stable")[:2]
        reason = "typical, and unlike what has a label"
        if by_head and len(best) == 2:
            reason = f"{names[best[0]]} ({p[number, best[0]]:.2f}) or {names[best[1]]} ({p[number, best[1]]:.2f})"
        predicted = names[best[0]] if len(best) else None
        found.append(Suggestion(split, _id(cache, split, row), row, gain, reason, predicted))
    return found


def _measured(cache: Cache, rows: Ints, head: Head | None, names: Sequence[str]) -> list[Suggestion]:
    if not len(rows):
        return []
    p = _probabilities(cache, head, unit(cache[MEASURED_ON].take_images(rows)))
    predicted = [names[each.argmax()] if len(each) else None for each in p]
    return [
        Suggestion(MEASURED_ON, _id(cache, MEASURED_ON, row), row, None, "at random, to measure on", name)
        for row, name in zip(rows.tolist(), predicted, strict=True)
    ]


def _id(cache: Cache, split: str, row: int) -> str:
    return str(cache[split].take_ids(np.array([row]))[0])


def _mixed(taught: Sequence[Suggestion], measured: Sequence[Suggestion]) -> list[Suggestion]:
    """Both in their order, spread evenly, so that the first few have some of both."""
    placed = [((i + 0.5) / len(part), item) for part in (taught, measured) for i, item in enumerate(part)]
    return [item for _, item in sorted(placed, key=lambda pair: pair[0])]
