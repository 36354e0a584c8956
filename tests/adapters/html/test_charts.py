"""Where charts put their numbers, and that names on them are text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.html.axes import Axis, round_numbers, written
from adapters.html.curves import Point, Series, curves
from adapters.html.intervals import Interval, intervals
from adapters.html.svg import element
from adapters.html.tables import bar

EVIL = '<script>"&'


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_round_numbers_cover_what_there_is(low: float, span: float) -> None:
    marks = round_numbers(low, low + span)
    assert marks[0] <= low + 1e-6 * (1 + abs(low) + span)
    assert marks[-1] >= low + span - 1e-6 * (1 + abs(low) + span)
    assert 2 <= len(marks) <= 9
    assert marks == sorted(set(marks))


def test_numbers_are_written_with_the_digits_that_they_have() -> None:
    assert written([0, 20, 40]) == ["0", "20", "40"]
    assert written(round_numbers(0.0, 1.0)) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert written([-2.5, 0, 2.5]) == ["-2.5", "0.0", "2.5"]


def test_an_axis_by_numbers_and_by_logarithms() -> None:
    assert Axis(0, 10, 100, 200).at(5) == 150
    assert Axis(1, 16, 0, 4, log=True).at(4) == 2
    assert Axis(3, 3, 0, 1).at(3) == 0.5  # one number alone stands in the middle


def test_a_curve_stands_where_its_points_are() -> None:
    drawn = curves(
        EVIL,
        [Series(EVIL, [Point(1, 0, -1, 1, EVIL), Point(2, 10, 9, 11)], 0)],
        x_title=EVIL,
        y_title="y",
        x_values=(1, 2),
        y_range=(0, 10),
    )
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)
    (x1, y1), (x2, y2) = ((float(x), float(y)) for x, y in circles)
    assert x1 < x2
    assert y1 > y2  # higher numbers stand higher
    assert "band" in drawn
    assert EVIL not in drawn
    assert drawn.count("&lt;script&gt;") == 4


def test_intervals_stand_around_their_numbers() -> None:
    drawn = intervals("differences", [Interval("a", 1, -1, 3, "a: 1", 0)], x_title="points", zero=True)
    (ends,) = re.findall(r'<line x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)" y2="[\d.]+" class="whisker', drawn)
    (middle,) = re.findall(r'cx="([\d.]+)"', drawn)
    assert float(ends[0]) < float(middle) < float(ends[1])
    assert float(middle) == pytest.approx((float(ends[0]) + float(ends[1])) / 2, abs=0.02)
    assert 'class="axis"' in drawn


def test_a_bar_is_as_long_as_its_share() -> None:
    half = bar("half", 0.5, 1.0)
    assert re.findall(r'width="([\d.]+)" height="10" rx="3" class="fill"', half) == ["88"]
    assert 'class="mark"' in half
    assert "mark" not in bar("nothing", None, None)


def test_elements_escape_what_they_are_given() -> None:
    assert element("text", EVIL, class_=EVIL, data_tip=None) == (
        '<text class="&lt;script&gt;&#34;&amp;">&lt;script&gt;&#34;&amp;</text>'
    )
