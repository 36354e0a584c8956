from __future__ import annotations

import json

import pytest

from adapters.commands.list import methods_page, options_page
from adapters.commands.shared.options import describe_options
from adapters.declared import NEEDS, group_of
from adapters.methods import METHODS, describe_methods
from featcache.show.page import Table
from tests.pages import assert_all_is_told
from tests.processes import run


def test_what_is_known_by_name() -> None:
    methods = json.loads(run("adapters", "list", "--json").stdout)["methods"]
    keys = ["name", "class", "trains", "parameters", "needs", "group", "source", "select", "try_when"]
    assert list(methods[0]) == keys
    options = json.loads(run("adapters", "list", "clip", "--json").stdout)["options"]
    assert all(option["meaning"] for option in options)


def test_methods_are_grouped_by_what_they_do_not_work_without() -> None:
    said = {
        "text; views used if there": "nothing",
        "images only; views used if there": "nothing",
        "text, of several prompts a class to have any effect; views used if there": "prompts",
        "views or prompts": "views",
        "text and a second cache": "a second cache",
        "text and unlabelled rows; a second cache used if there": "unlabelled rows",
        "pre-projection features": "pre-projection features",
    }
    assert {needs: group_of(needs) for needs in said} == said
    methods = describe_methods()
    titles = [part.title for part in methods_page(methods).parts if isinstance(part, Table)]
    there = [need for need in NEEDS if any(method["group"] == need for method in methods)]
    assert [next(need for need in there if title.startswith(f"Need {need}")) for title in titles] == there
    assert all(method["try_when"] for method in methods)


def test_all_methods_are_told_at_any_width() -> None:
    assert_all_is_told(methods_page(describe_methods()))


@pytest.mark.parametrize("method", METHODS)
def test_all_options_are_told_at_any_width(method: str) -> None:
    assert_all_is_told(options_page(method, describe_options(method)))
