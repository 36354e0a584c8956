"""Prompts of a class that a saved head did not know, in the words of those that it knew."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from adapters.errors import RunError
from featcache.prompts import ARTICLE, fill

PLACE = "{}"


def prompts_like(new: str, names: Sequence[str], prompts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Prompts of a new class, by the templates that made those of the others.

    Args:
        new: the new class's name.
        names: (C,) known classes.
        prompts: those of each (C, T).

    Raises:
        RunError: the prompts are no templates with the classes' names in them.
    """
    known = list(zip(names, map(set, prompts), strict=True))
    kept: list[str] = []
    for prompt in prompts[0]:
        fitting = (one for one in _templates(names[0], prompt) if all(fill(one, name) in own for name, own in known))
        kept += [one for one in islice(fitting, 1) if one not in kept]
    if not kept or any({fill(one, name) for one in kept} != own for name, own in known):
        raise RunError(
            f"the prompts of this run are not one sentence for every class ({names[0]}: {prompts[0][0]!r}): fit with "
            "prompts that are templates, such as 'a photo of a {}.', and add the class then"
        )
    return tuple(fill(one, new) for one in kept)


def _templates(name: str, prompt: str) -> Iterator[str]:
    """What the prompt may have been made of: wherever the name stands in it is a place for a name.

    An article before it may be part of the sentence or go with the name; the others tell.
    """
    said = fill(PLACE, name)
    for match in re.finditer(f"(?={re.escape(said)})", prompt):
        before, after = prompt[: match.start()], prompt[match.start() + len(said) :]
        for article in (" an ", " a "):
            if before.endswith(article):
                yield f"{before[: -len(article)]} {ARTICLE} {PLACE}{after}"
        yield before + PLACE + after
