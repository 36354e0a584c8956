"""What a method may need of a cache beside images and class text: the words, declared once.

A class says what it needs in `Head.needs`: before the first semicolon what it does not work without, behind it what it
uses if that is there. Methods are grouped by the words below that stand before the semicolon.
"""

from __future__ import annotations

import re

NOTHING = "nothing"
"""The group of methods that any cache is enough for."""
NEEDS = {
    NOTHING: "any cache with class names will do",
    "views": "featcache extract --views N",
    "prompts": "several prompts a class: featcache text add",
    "a second cache": "the same images by another encoder: --cache A --cache B",
    "unlabelled rows": "training images without a label, or more of them than are shots",
    "pre-projection features": "featcache extract --keep pre-projection",
}
"""Every need, and what gives it; in the order in which they are told."""


def group_of(needs: str) -> str:
    """The first of `NEEDS` that a class does not work without.

    Args:
        needs: `Head.needs`.
    """
    required = needs.partition(";")[0]
    named = (need for need in NEEDS if need != NOTHING and re.search(rf"\b{need}\b", required))
    return next(named, NOTHING)
