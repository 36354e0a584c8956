"""One page on terminals of any width, and in a file."""

from __future__ import annotations

import pytest
from rich.console import Console

from featcache.show.page import Facts, Page, Styled, Table, Typed
from tests.pages import assert_all_is_told, drawn

PATH = "/data/" + "x" * 70


def test_a_table_that_fits_has_a_line_a_row() -> None:
    table = Table(("name", "rows"), [("digits", "1,797"), ("eurosat", "27,000")], title="Caches", numbers=["rows"])
    shown = drawn(Page([table]), 60).splitlines()
    assert shown[0] == "Caches"
    assert shown[4:6] == ["│ digits  │  1,797 │", "│ eurosat │ 27,000 │"]
    assert list(Page([table]).lines()) == ["Caches", "name       rows", "digits    1,797", "eurosat  27,000"]


def test_text_is_folded_between_words() -> None:
    page = Page([Table(("name", "meaning"), [("a", "one two three four five six seven eight nine ten eleven")])])
    assert_all_is_told(page)
    assert len(drawn(page, 30).splitlines()) > 5
    assert len(drawn(page, 200).splitlines()) == 5


def test_numbers_move_to_a_table_below_with_the_first_column() -> None:
    columns = ("method", *(f"{shots} shots" for shots in (1, 2, 4, 8, 16)))
    page = Page([Table(columns, [("zero-shot", *["71.25 ± 1.30"] * 5)], numbers=columns[1:])])
    shown = drawn(page, 60)
    assert (shown.count("zero-shot"), shown.count("71.25 ± 1.30")) == (2, 5)
    assert_all_is_told(page)


def test_rows_become_facts_where_one_word_fills_the_line() -> None:
    page = Page([Table(("image", "1."), [(PATH, "annual crop 93.12 %"), (PATH[1:], "")], title="clip")])
    lines = [line.rstrip() for line in drawn(page, 60).splitlines()]
    assert lines == ["clip", "image", PATH, "1.     annual crop 93.12 %", "", "image", PATH[1:]]
    assert_all_is_told(page)


def test_what_is_copied_stays_in_one_piece() -> None:
    command = Typed("adapters bench --methods clip --shots 4 --seeds 1,2,3 --cache digits-tiny")
    page = Page([Facts([("next", command), ("where", PATH), ("note", "word " * 40)], title="Cache")])
    lines = drawn(page, 60).splitlines()
    assert command in lines
    assert PATH in lines
    assert_all_is_told(page)


@pytest.mark.parametrize("width", [20, 60])
def test_a_long_line_is_folded(width: int) -> None:
    shown = drawn(Page(["one two three " * 10]), width)
    assert max(map(len, shown.splitlines())) <= width
    assert shown.split() == ["one", "two", "three"] * 10


def test_styles_are_for_terminals() -> None:
    page = Page([Styled("select: ORACLE", "bold", shouts="ORACLE"), Facts([(Styled("note", "yellow"), "x")])])
    console = Console(force_terminal=True, color_system="standard", width=60)
    with console.capture() as capture:
        console.print(page)
    assert "\x1b[1;31mORACLE" in capture.get()
    assert "\x1b[33mnote" in capture.get() or "\x1b[1;33mnote" in capture.get()
    assert list(page.lines()) == ["select: ORACLE", "note  x"]


def test_a_longer_text_keeps_its_style() -> None:
    longer = Styled("71.25", "bold", shouts="7") + " ≈"
    assert (longer, longer.style, longer.shouts) == ("71.25 ≈", "bold", "7")


def test_brackets_mean_nothing_and_lines_stay_lines() -> None:
    page = Page([Facts([("prompt", "a [bold]photo[/] of a\n{}")]), "[red]x", Table(("[a]",), [("[/b]",)])])
    assert "a [bold]photo[/] of a" in drawn(page, 60)
    assert list(page.lines()) == ["prompt  a [bold]photo[/] of a {}", "[red]x", "[a]", "[/b]"]


def test_titles_part_what_follows_in_a_file() -> None:
    parts = [Table(("a",), [("1",)], title="first"), Table(("b",), [("2",)], title="second"), "note"]
    assert list(Page(parts).lines()) == ["first", "a", "1", "", "second", "b", "2", "note"]


def test_tables_and_facts_may_be_empty() -> None:
    page = Page([Table(("class", "images"), []), Facts([])])
    assert "images" in drawn(page, 60)
    assert list(page.lines()) == ["class  images"]


def test_wide_letters_take_the_room_they_need() -> None:
    assert_all_is_told(Page([Table(("name", "class"), [("a", "貓 狗 " * 20 + "鳥")])]))


def test_names_of_facts_steer_no_terminal() -> None:
    page = Page([Facts([("a\x1b[31m", "x"), ("b\nc", "y")])])
    assert list(page.lines()) == [r"a\x1b[31m  x", "b c        y"]
