"""The list of protocols, and the options of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.bench.protocols.protocols import PROTOCOLS
from adapters.errors import AdapterError
from tests.adapters.bench.recorders import SETTINGS


def test_an_unknown_protocol_is_told_those_that_there_are() -> None:
    with pytest.raises(AdapterError, match="'zero'.*expected one of few-shot, base-to-new, cross-dataset, incremental"):
        PROTOCOLS["zero"]


@pytest.mark.parametrize(
    ("change", "caches", "message"),
    [
        ({"protocol": "incremental"}, 1, "type --tasks 5"),
        ({"protocol": "incremental", "tasks": 0}, 1, "got 0"),
        ({"tasks": 3}, 1, "leave --tasks out"),
        ({"protocol": "cross-dataset"}, 1, "type --cache SOURCE --cache TARGET"),
    ],
)
def test_options_that_do_not_go_together(change: dict[str, Any], caches: int, message: str) -> None:
    settings = replace(SETTINGS, **change)
    with pytest.raises(AdapterError, match=message):
        PROTOCOLS[settings.protocol].check(settings, caches)
