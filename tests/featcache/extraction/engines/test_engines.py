"""The list of engines: any of them gives the same cache, and none is part of what it is."""

from __future__ import annotations

from typing import Any

import pytest

from featcache.errors import DataError
from featcache.extraction.engines.engines import DEFAULT_ENGINE, ENGINES
from featcache.extraction.engines.local_engine import LocalEngine
from featcache.extraction.request import Request


def test_each_engine_says_in_a_line_where_it_runs() -> None:
    assert ENGINES[DEFAULT_ENGINE] is LocalEngine
    for name in ENGINES:
        assert str(ENGINES[name].__doc__).splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "remote"}, "--engine 'remote' given; expected local or ray"),
        ({"engine": "ray", "devices": "0,1"}, "--devices '0,1' given, which needs --engine local; it is 'ray'"),
        ({"address": "auto"}, "--address 'auto' given, which needs --engine ray; it is 'local'"),
        ({"devices": "all", "device": "cuda"}, "--device cuda and --devices all given: leave one of them out"),
    ],
)
def test_what_goes_with_no_engine_is_refused_before_anything_is_done(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        Request(model="tiny", dataset="digits", **options)
