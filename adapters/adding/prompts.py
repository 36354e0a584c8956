"""Prompts of a class that a saved head did not know, in the words of those that it knew."""

from __future__ import annotations

from collections.abc import Sequence

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
    templates = [_template(name, prompt) for name, own in zip(names, prompts, strict=True) for prompt in own]
    kept = list(dict.fromkeys(template for template in templates if template is not None))
    made = [tuple(fill(template, name) for template in kept) for name in names]
    if not kept or any(set(found) != set(own) for found, own in zip(made, prompts, strict=True)):
        raise RunError(
            f"the prompts of this run are not one sentence for every class ({names[0]}: {prompts[0][0]!r}): fit with "
            "prompts that are templates, such as 'a photo of a {}.', and add the class then"
        )
    return tuple(fill(template, new) for template in kept)


def _template(name: str, prompt: str) -> str | None:
    """The prompt with a place for the name; None where the name does not stand in it."""
    said = fill(PLACE, name)
    before, found, after = prompt.partition(said)
    if not found:
        return None
    for article in (" an ", " a "):
        if before.endswith(article):
            return f"{before[: -len(article)]} {ARTICLE} {PLACE}{after}"
    return before + PLACE + after
