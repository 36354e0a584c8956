"""Images as cards: a thumbnail, what is said of it, and the images that it is beside; and a page of nothing but these.

pictures = pictures_of(cache.manifest)
card = Card(pictures.of(id), "train", facts=(("score", "0.93"),))
html = cards_page("What to label next", [Group("The first 50", "typical and different", (card, …))], pictures)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapters.html.document import render
from adapters.html.pictures import Picture, Pictures


@dataclass(frozen=True)
class Card:
    """An image and what is said of it.

    Attributes:
        picture: its thumbnail and id.
        split: that it is of; may be empty.
        facts: pairs of a name and what is said.
        near: other images beside it, such as the most similar shots.
        near_title: what these are.
        classes: names that it is found under when a reader asks for a class.
        certainty: what it is sorted by, in [0, 1]; None: it is not sorted.
        cell: which cell of a confusion matrix it is shown under, such as `3:5`; empty: it always is.
    """

    picture: Picture
    split: str = ""
    facts: Sequence[tuple[str, str]] = ()
    near: Sequence[Picture] = ()
    near_title: str = ""
    classes: Sequence[str] = ()
    certainty: float | None = None
    cell: str = ""


@dataclass(frozen=True)
class Group:
    """Cards under a heading.

    Attributes:
        title: the heading.
        told: what they are, in a sentence; may be empty.
        cards: in the order in which they are shown.
        nothing: what is said where there are none.
    """

    title: str
    told: str
    cards: Sequence[Card]
    nothing: str = "None."


def classes_in(groups: Iterable[Group]) -> list[str]:
    """The classes that a reader can ask for, in alphabetic order."""
    return sorted({name for group in groups for card in group.cards for name in card.classes})


def cards_page(
    title: str,
    groups: Sequence[Group],
    pictures: Pictures,
    *,
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> str:
    """A page of thumbnails.

    Args:
        title: the heading.
        groups: the cards.
        pictures: what made their pictures.
        facts: what stands above them, pairs of a name and what is said.
        notes: what must be read with them.
    """
    told = [*notes, *filter(None, [pictures.told])]
    return render("cards.html", title=title, kind="", facts=facts, groups=groups, notes=told, pictures=pictures.made)
