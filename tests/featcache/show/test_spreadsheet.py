"""CSV for spreadsheets: what is written comes back, and nothing begins like a formula."""

from __future__ import annotations

import csv
import io

from hypothesis import example, given
from hypothesis import strategies as st

from featcache.show.spreadsheet import BYTE_ORDER_MARK, FORMULA_STARTS, defused, lines, plain, spreadsheet

TEXT = st.text(alphabet=st.sampled_from("='+-@\t\rab ,\"\n"), max_size=6)


@given(TEXT)
@example("''=")
def test_text_comes_back_and_never_begins_like_a_formula(text: str) -> None:
    assert plain(defused(text)) == text
    assert not defused(text).startswith(FORMULA_STARTS)
    ((cell, after),) = csv.reader(io.StringIO(lines([[text, "after"]]), newline=""), strict=True)
    assert (plain(cell), after) == (text, "after")


def test_numbers_stay_numbers_and_none_is_empty() -> None:
    text = spreadsheet(("id", "margin", "label"), [("=1+1", -0.5, None)])
    assert text.startswith(BYTE_ORDER_MARK)
    assert list(csv.reader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK)))) == [
        ["id", "margin", "label"],
        ["'=1+1", "-0.5", ""],
    ]
