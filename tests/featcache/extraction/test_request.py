"""What is asked for, and refused before anything is done."""

from __future__ import annotations

import pytest

from featcache.errors import DataError
from featcache.extraction.request import Request


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "float64"},
        {"limit": 0},
        {"splits": "train"},
        {"on_error": "Fail"},
        {"views": -1},
        {"engine": "remote"},
    ],
)
def test_arguments_out_of_range_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong)).replace("_", "-")):
        Request(model="tiny", dataset="digits", **wrong)  # type: ignore[arg-type]
