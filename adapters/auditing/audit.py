"""What is wrong with the data of a cache, as a whole: `adapters audit`, and `adapters.audit` in Python."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adapters.arrays import Floats, unit
from adapters.auditing.classes import class_facts
from adapters.auditing.names import near_names, never_found
from adapters.auditing.outliers import outliers
from adapters.auditing.pool import Image, Pool, read_pool
from adapters.auditing.results import Audit, Leaks
from adapters.auditing.suspects import judge, suspects
from adapters.auditing.twins import find_pairs, groups, leaked
from adapters.joining.joined_cache import JoinedCache, refuse_auto
from adapters.joining.places import told
from featcache.places.folder import absolute

if TYPE_CHECKING:
    from featcache.cache.reading import Cache
    from featcache.cache.text_sets import TextFeatures


def audit(
    cache: Cache,
    *,
    prompts: str | None = None,
    run: str | Path | None = None,
    root: str | None = None,
    device: str = "auto",
) -> Audit:
    """Look for mislabelled images, twins, leaks, names that say nothing, and outliers, over all splits of a cache.

    Args:
        cache: an opened cache, with mended labels (`Cache.relabelled`) or without.
        prompts: name of the prompt set; None for the cache's default.
        run: a saved run whose accuracy is told with and without leaked test images; None: zero-shot's.
        root: where runs are looked for.
        device: where that run computes.

    Raises:
        TaskError: no image of the cache can be read.
        RunError: no such run, or one that was fitted on another cache.
    """
    began = time.perf_counter()
    refuse_auto(cache, "an audit fits nothing to choose by")
    text = cache.text if prompts is None else cache.text_set(prompts)
    names = tuple(text.class_names)
    pool = read_pool(cache)
    weights = unit(text.weights())
    zero_shot = float(text.logit_scale) * (pool.features @ weights.T)
    predicted = zero_shot.argmax(1)
    judged = judge(pool.features, pool.labels, zero_shot)
    pairs = find_pairs(pool)
    texts = {text.name: weights, **_other_texts(cache, text)}
    known = pool.labelled
    if run is None:
        right, by = predicted == pool.labels, f"zero-shot ({text.name})"
    else:
        right, by = _right_of_run(run, cache, pool, root, device)
    shown = pool.features[known], pool.labels[known], texts, text.name, names
    return Audit(
        cache=cache.name,
        cache_path=absolute(cache.path),
        cache_digest=cache.digest,
        labels=cache.mended.to_json() if cache.mended else None,
        labels_told=cache.mended.told if cache.mended else None,
        prompts=text.name,
        images=len(pool),
        labelled=int(known.sum()),
        share_wrong=judged.share,
        mislabelled=suspects(pool, judged, names),
        duplicates=groups(pool, pairs),
        twin_cosine=pairs.limit,
        leaks=_leaks(pool, leaked(pool, pairs), right, by),
        classes=class_facts(pool, predicted, names),
        never_found=never_found(*shown),
        near_names=near_names(*shown),
        outliers=outliers(pool, judged.distance),
        unreadable=pool.unreadable,
        own_labels=_own_labels(cache),
        note="; ".join(filter(None, [_joined(cache), cache.caveat])),
        mended=_mended(cache),
        seconds=round(time.perf_counter() - began, 3),
    )


def _joined(cache: Cache) -> str:
    """What was joined; empty for one cache."""
    return f"joined: {told(cache.joined)}" if isinstance(cache, JoinedCache) else ""


def _other_texts(cache: Cache, used: TextFeatures) -> dict[str, Floats]:
    others = (name for name in cache.prompt_sets if name != used.name)
    return {name: unit(cache.text_set(name).weights()) for name in others}


def _own_labels(cache: Cache) -> dict[tuple[str, int], str]:
    """The class name of every labelled row, by split and row."""
    names = cache.class_names
    return {
        (split, row): names[label]
        for split in cache.splits
        for row, label in enumerate(cache[split].labels.tolist())
        if label >= 0
    }


def _mended(cache: Cache) -> tuple[Image, ...]:
    """Images whose label is not the data set's own."""
    return tuple(
        Image(name, str(cache[name].ids[row]), row)
        for name in cache.splits
        for row in np.flatnonzero(cache[name].labels != cache[name].stored_labels).tolist()
    )


def _right_of_run(run: str | Path, cache: Cache, pool: Pool, root: str | None, device: str) -> tuple[np.ndarray, str]:
    """Which images (N,) of the test split a saved run gets right, and what it is called."""
    from adapters.methods import load
    from adapters.runs.catalogue import find_run
    from adapters.runs.opened import check_cache
    from adapters.scores import logits_in_blocks
    from adapters.tasks.seen import seen_by
    from adapters.tasks.split_rows import read_split

    saved = find_run(run, root=root)
    head = load(saved.path, device=device)
    check_cache(head.config, cache, saved.name)
    test = read_split(seen_by(type(head), cache), "test")
    (logits,) = logits_in_blocks((head,), test.blocks())
    right = np.zeros(len(pool), bool)
    right[pool.of_split("test") & pool.labelled] = logits.argmax(1) == test.labels
    return right, saved.name


def _leaks(pool: Pool, leaks: np.ndarray, right: np.ndarray, by: str) -> Leaks:
    test = pool.of_split("test")
    scored = test & pool.labelled
    clean = scored & ~leaks
    return Leaks(
        images=tuple(pool.image(i) for i in np.flatnonzero(leaks).tolist()),
        share=float(leaks.sum() / test.sum()) if test.any() else 0.0,
        accuracy_with=float(right[scored].mean()) if scored.any() else None,
        accuracy_without=float(right[clean].mean()) if clean.any() else None,
        by=by,
    )
