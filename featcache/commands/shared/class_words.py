"""Which class is called what, and in which words it is asked for: shown wherever the three differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from featcache.datasets.class_names import says_nothing
from featcache.show.page import Part, Styled, Table

MOST = 20
"""Classes that are listed on a page."""


def classes_json(manifest: Mapping[str, Any], prompts: Sequence[str]) -> list[dict[str, Any]]:
    """Of each class its `label` in the data, its `name`, and the `prompt` that is the first of the default set.

    Args:
        manifest: of the cache.
        prompts: (C,) the prompts; empty while there are none.
    """
    names = manifest["identity"]["dataset"]["class_names"]
    labels = manifest["provenance"].get("labels", names)  # caches of earlier versions name no labels
    found = zip(labels, names, prompts or [""] * len(names), strict=True)
    return [{"label": label, "name": name, "prompt": prompt} for label, name, prompt in found]


def class_words(classes: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    """A table of the classes whose label, name and prompt differ; what to do where a name tells an encoder nothing."""
    differ = [each for each in classes if each["label"] != each["name"] or _asked_otherwise(each)]
    if differ:
        rows = [(each["label"], each["name"], each["prompt"]) for each in differ[:MOST]]
        yield Table(("in the data", "class name", "first prompt"), rows)
    if len(differ) > MOST:
        yield f"and {len(differ) - MOST:,} more classes (`featcache info --json` lists all)"
    empty = [each["name"] for each in classes if says_nothing(each["name"])]
    if empty:
        told = f"{len(empty)} of {len(classes)} class names say nothing to an encoder, such as {empty[0]!r}: "
        yield Styled(told + "give words with --class-names FILE, one a line in the order of the classes", "yellow")


def _asked_otherwise(of_class: Mapping[str, Any]) -> bool:
    return bool(of_class["prompt"]) and of_class["name"] not in of_class["prompt"]
