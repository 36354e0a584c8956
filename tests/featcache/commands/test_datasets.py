from __future__ import annotations

import json

from featcache.commands.datasets import datasets_json, datasets_page
from tests.pages import assert_all_is_told
from tests.processes import run


def test_what_is_known_by_name() -> None:
    names = {card["name"] for card in json.loads(run("featcache", "datasets", "--json").stdout)["datasets"]}
    assert {"imagenet", "eurosat", "digits", "cifar10", "ucf101"} <= names


def test_all_is_told_at_any_width() -> None:
    assert_all_is_told(datasets_page(datasets_json()))
