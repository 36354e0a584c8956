from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from featcache.show.layout import BORDER, LAST_BORDER, READABLE, Column, share


def test_columns_that_fit_are_as_wide_as_their_text() -> None:
    assert share([Column(5, 5), Column(30, 12)], 42) == [{0: 5, 1: 30}]


def test_the_widest_gives_way_first() -> None:
    assert share([Column(5, 5), Column(30, 12), Column(20, 12)], 60) == [{0: 5, 1: 25, 2: 20}]


def test_what_cannot_be_folded_further_moves_below_beside_the_first_column() -> None:
    assert share([Column(5, 5), Column(30, 25), Column(20, 20)], 40) == [{0: 5, 1: 28}, {0: 5, 2: 20}]


def test_nothing_fits_beside_a_wide_first_column() -> None:
    assert share([Column(50, 50), Column(8, 8)], 60) is None
    assert share([Column(50, 50)], 60) == [{0: 50}]


def test_numbers_are_not_folded_and_text_not_within_words() -> None:
    assert Column.of(30, 8, number=True).least == 30
    assert Column.of(30, 17, number=False).least == 17
    assert Column.of(30, 3, number=False).least == READABLE
    assert Column.of(6, 6, number=False).least == 6


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=1, max_size=8), st.integers(10, 120))
def test_all_columns_are_there_and_fit(widths: list[tuple[int, int]], room: int) -> None:
    columns = [Column(least + more, least) for least, more in widths]
    groups = share(columns, room)
    if groups is None:
        wanted = max((column.least for column in columns[1:]), default=0)
        assert columns[0].least + wanted + (2 if len(columns) > 1 else 1) * BORDER + LAST_BORDER > room
        return
    assert sorted(place for group in groups for place in group if place) == list(range(1, len(columns)))
    for group in groups:
        assert 0 in group
        assert sum(group.values()) + len(group) * BORDER + LAST_BORDER <= room
        assert all(columns[place].least <= width <= columns[place].natural for place, width in group.items())
