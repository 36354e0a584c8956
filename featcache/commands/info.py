"""`featcache info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from featcache.commands.shared.class_words import class_words, classes_json
from featcache.commands.shared.options import CacheName, Json, Root
from featcache.commands.shared.show import show
from featcache.commands.shared.words import (
    classes,
    counts,
    decoded,
    encoder,
    left_out_words,
    origin,
    split_origin,
    stored,
)
from featcache.show.page import Facts, Page, Part, Styled, Table

if TYPE_CHECKING:
    from featcache.places.folder import Folder

MOST = 20
"""Unreadable images, and classes, that are listed."""


def info(cache: CacheName, root: Root = None, json: Json = False) -> None:
    """Show what a cache holds and what it was made from."""
    from featcache.cache.catalogue import locate

    found = cache_json(locate(cache, root))
    show(lambda: found, lambda: cache_page(found), json=json)


def cache_json(folder: Folder) -> dict[str, Any]:
    """The object that `featcache info --json` prints: manifest, completion, prompt sets, classes, unreadable images."""
    from featcache.cache.layout import BAD
    from featcache.cache.reading import read_completion, read_manifest, unlabelled
    from featcache.cache.text_sets import TextIndex

    manifest, index, completion = read_manifest(folder), TextIndex(folder), read_completion(folder)
    labels = labels_of(folder)
    classes = classes_json(manifest, index.first_prompts())
    if labels is not None:
        for number, each in enumerate(classes):
            each["rows"] = {split: of_class[number] for split, of_class in labels.items()}
    bad = [entry for name in folder.names(BAD) for entry in folder.read_json(f"{BAD}/{name}")]
    return {
        "path": folder.location,
        **manifest,
        "complete": completion,
        "unlabelled": unlabelled(manifest["plan"]["rows"], completion),
        "prompt_sets": index.summary(),
        "classes": classes,
        "unreadable": bad,
    }


def labels_of(folder: Folder) -> dict[str, list[int]] | None:
    """Rows of each class (C,) in every split, then those without a label; None while the cache is unfinished."""
    import numpy as np

    from featcache.cache.layout import COMPLETE
    from featcache.cache.reading import Cache

    if not folder.exists(COMPLETE):
        return None
    cache = Cache(folder)
    found = {split: cache[split].labels for split in cache.splits}
    count = len(cache.class_names)
    return {
        split: [*np.bincount(labels[labels >= 0], minlength=count).tolist(), int((labels < 0).sum())]
        for split, labels in found.items()
    }


def cache_page(info: Mapping[str, Any]) -> Page:
    """What a cache holds and what it was made from."""
    identity, plan, views = info["identity"], info["plan"], info["identity"]["views"]
    rows = [
        ("where", info["path"]),
        ("finished", info["complete"]["finished"] if info["complete"] else Styled("not yet", "yellow")),
        ("data set", identity["dataset"]["name"]),
        ("rows", counts(plan["rows"])),
        *([("unlabelled", counts(info["unlabelled"]))] if info["unlabelled"] else []),
        ("splits", split_origin(info["provenance"]["split"])),
        ("images", info["request"]["images"]["location"]),
        ("classes", classes(identity["dataset"]["class_names"])),
        ("encoder", encoder(identity["encoder"])),
        *origin(info),
        *decoded(info),
        ("stored", stored(info)),
        ("views", f"{views['count']} of each image in {views['split']}" if views else "none"),
        ("shards", f"{plan['rows_per_shard']:,} rows each, batches of {identity['batch_size']}"),
    ]
    for place, prompts in enumerate(info["prompt_sets"]):
        default = "" if place else " (default)"
        example = f"such as: {prompts['example']}" if prompts["example"] else "whose words are not known"
        rows.append((f"prompts: {prompts['name']}", f"{prompts['prompts']}, {example}{default}"))
    rows.append(("digest", info["digest"]))
    rows += [("guessed", line) for line in info["provenance"].get("told", [])]
    rows += [(Styled("left out", "yellow"), words) for words in left_out_words(info)]
    bad = info["unreadable"]
    rows += [(Styled("unreadable", "yellow"), f"{entry['id']}: {entry['reason']}") for entry in bad[:MOST]]
    if len(bad) > MOST:
        rows.append(("", f"and {len(bad) - MOST} more (--json lists all)"))
    return Page([Facts(rows, title=f"Cache {info['name']}"), *_class_rows(info), *class_words(info["classes"])])


def _class_rows(info: Mapping[str, Any]) -> list[Part]:
    """Rows of each class and split; of many classes the first, and how the others can be seen."""
    found = info["classes"]
    if not all("rows" in each for each in found):
        return []
    splits = list(info["plan"]["rows"])
    rows = [(each["name"], *(f"{each['rows'][split]:,}" for split in splits)) for each in found[:MOST]]
    if info["unlabelled"]:
        rows.append((Styled("no label", "yellow"), *(f"{info['unlabelled'].get(split, 0):,}" for split in splits)))
    more = [f"and {len(found) - MOST:,} more classes (--json lists all)"] if len(found) > MOST else []
    return [Table(("rows of class", *splits), rows, numbers=splits), *more]
