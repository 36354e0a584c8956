"""Lists of things by name: imported when asked for, a wrong name refused with the nearest one."""

from __future__ import annotations

import sys

import pytest

from featcache.errors import DataError
from featcache.named import Named

COLOURS: Named[object] = Named("colour", {"dark-red": "colorsys:rgb_to_hsv", "blue": "nowhere:BLUE"}, DataError)


def test_names_are_known_without_importing_anything() -> None:
    assert list(COLOURS) == ["dark-red", "blue"]
    assert "blue" in COLOURS
    assert len(COLOURS) == 2
    assert "nowhere" not in sys.modules


def test_a_thing_is_imported_when_asked_for() -> None:
    assert callable(COLOURS["dark-red"])
    with pytest.raises(ModuleNotFoundError):
        COLOURS["blue"]


def test_a_wrong_name_is_refused_with_the_nearest_and_all() -> None:
    with pytest.raises(DataError, match="no colour .Dark_Red.; did you mean .dark-red.. expected one of dark-red"):
        COLOURS["Dark_Red"]
    with pytest.raises(DataError, match="no colour 'x'; expected one of dark-red, blue"):
        COLOURS["x"]
