"""What a head answers beside one class, as facts on a page."""

from __future__ import annotations

from typing import Any

from adapters.show.numbers import percent, within


def answers_told(answers: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What came of --reject and --coverage on a split, and where that was learned."""
    if not answers:
        return []
    told = []
    if answers["refused"] is not None:
        asked = f"asked for at most {percent(answers['reject'])}"
        told.append(("none of these", f"{percent(answers['refused'])} of the images, all of known classes; {asked}"))
    if answers["covered"] is not None:
        held = f"{percent(answers['covered'])} hold the truth (95 %: {within(answers['covered_interval'])})"
        sizes = f"{answers['size']:.2f} classes on average, {percent(answers['empty'])} empty"
        told.append(("sets", f"{held}; asked for {percent(answers['coverage'])}; {sizes}"))
    return [*told, ("", answers["note"])]
