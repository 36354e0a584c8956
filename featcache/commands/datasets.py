"""`featcache datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featcache.commands.shared.options import Json
from featcache.commands.shared.show import show
from featcache.show.page import Page, Table


def datasets(json: Json = False) -> None:
    """List the data sets that are known by name."""
    found = datasets_json()
    show(lambda: found, lambda: datasets_page(found), json=json)


def datasets_json() -> dict[str, Any]:
    """The object that `featcache datasets --json` prints."""
    from featcache.datasets.cards import list_cards

    keys = ("name", "title", "classes", "splits", "licence", "source", "embedded")
    return {"datasets": [{key: getattr(card, key) for key in keys} for card in list_cards()]}


def datasets_page(found: Mapping[str, Any]) -> Page:
    """The data sets that are known by name, and what else there may be."""
    from featcache.datasets.sources.sources import what_can_be_given

    rows = []
    for card in found["datasets"]:
        images = " / ".join(f"{n:,}" for n in card["splits"].values()) if card["splits"] else "seeded split"
        rows.append((card["name"], card["title"], str(card["classes"]), images, card["licence"]))
    columns = ("name", "data set", "classes", "train / val / test", "licence")
    table = Table(columns, rows, numbers=columns[2:4])
    return Page([table, f"`featcache extract --dataset` also takes {what_can_be_given()}."])
