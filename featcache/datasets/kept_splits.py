"""Splits that are made here, made again so that images stay in the split that they were in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featcache.datasets import stratified
from featcache.datasets.dataset import Dataset, Split
from featcache.datasets.listing import SPLITS, Listing, check_no_empty_class
from featcache.ids import Ids

ELSEWHERE = -1
"""Stands for the split of an image that was in none."""


def made_here(origin: Mapping[str, Any]) -> tuple[tuple[str, ...], int | None]:
    """The splits that images were divided among here, and the seed of that; none where the source's own are taken.

    Args:
        origin: How the splits came about, as the provenance tells.
    """
    if "fractions" in origin:
        return SPLITS, int(origin["seed"])
    val = origin.get("val")
    if isinstance(val, Mapping) and "fraction_of_train" in val:
        return ("train", "val"), int(val["seed"])
    return (), None


def with_kept_splits(
    dataset: Dataset, before: Mapping[str, np.ndarray], caches: Sequence[Mapping[str, Any]]
) -> Dataset:
    """The data set with images in the splits that they were in; the others fill up what their class lacks of each.

    Args:
        dataset: As it is listed by itself.
        before: (N,) of each split: the place in `SPLITS` of the split that an image was in, or `ELSEWHERE`.
        caches: Which caches tell that, for the provenance.

    Raises:
        DataError: A class has nothing left to train on.
    """
    origin = dataset.provenance["split"]
    divided, seed = made_here(origin)
    names = [name for name in divided if name in dataset.splits]
    places = [SPLITS.index(name) for name in divided]
    known = [np.where(np.isin(before[name], places), before[name], ELSEWHERE) for name in names]
    if all(np.isin(was, (ELSEWHERE, SPLITS.index(name))).all() for name, was in zip(names, known, strict=True)):
        return dataset
    assert seed is not None
    parts = [dataset.splits[name] for name in names]
    everything = Split(
        Ids.joined([Ids.of(part.ids) for part in parts]), np.concatenate([part.labels for part in parts])
    )
    fixed = np.concatenate(known).astype(np.int64)
    if len(divided) == len(SPLITS):
        rows = stratified.split_rows(everything.ids, everything.labels, seed, fixed)
    else:
        rows = dict(zip(divided, stratified.carve_rows(everything.ids, everything.labels, seed, fixed), strict=True))
    made = {name: everything.take(chosen) for name, chosen in rows.items() if len(chosen)}
    splits = {name: made.get(name, dataset.splits.get(name)) for name in SPLITS}
    kept = {
        name: split for name, split in splits.items() if split is not None and (name in made or name not in divided)
    }
    check_no_empty_class(Listing(dataset.class_names, kept, {}, ""), dataset.name)
    told = {**origin, "kept": {"images": int((fixed != ELSEWHERE).sum()), "caches": [dict(cache) for cache in caches]}}
    return replace(dataset, splits=kept, provenance={**dataset.provenance, "split": told})
