from __future__ import annotations

import json

import pytest

from adapters.commands.list import methods_page, options_page
from adapters.commands.shared.options import describe_options
from adapters.methods import METHODS, describe_methods
from tests.pages import assert_all_is_told
from tests.processes import run


def test_what_is_known_by_name() -> None:
    methods = json.loads(run("adapters", "list", "--json").stdout)["methods"]
    assert list(methods[0]) == ["name", "class", "trains", "parameters", "needs", "source", "select", "try_when"]
    options = json.loads(run("adapters", "list", "clip", "--json").stdout)["options"]
    assert all(option["meaning"] for option in options)


def test_all_methods_are_told_at_any_width() -> None:
    assert_all_is_told(methods_page(describe_methods()))


@pytest.mark.parametrize("method", METHODS)
def test_all_options_are_told_at_any_width(method: str) -> None:
    assert_all_is_told(options_page(method, describe_options(method)))
