from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.commands.saved.eval import evaluation_page
from adapters.runs.evaluate import Evaluation
from adapters.scores import Scores
from tests.pages import assert_all_is_told, texts

NAMES = ("Highway or Road", "x" * 70, "Sea or Lake, seen from far above on a clear day in the middle of summer")
FOUND = Evaluation(
    run="/runs/a",
    method="multi-modal-adapter",
    cache="/caches/a",
    split="test",
    images=8100,
    accuracy=0.75,
    ece=0.05,
    scores=Scores(8100, 0.75, (0.74, 0.76), 0.63, (0.6, 0.66), 0.6, 0.9, 0.5, 0.3, 0.05),
    stored={"accuracy": 0.7, "ece": 0.05},
    reproduced=False,
    per_class=[{"class": name, "images": 2700, "accuracy": None} for name in NAMES],
    confusions=[{"class": NAMES[0], "predicted": name, "images": 9, "share": 0.1} for name in NAMES[1:]],
)


@pytest.mark.parametrize(
    ("reproduced", "told"),
    [
        (False, "The saved accuracy is another: 70.00 %."),
        (True, "The saved accuracy is reproduced."),
        (None, "No accuracy of this split was saved to compare with."),
    ],
)
def test_all_is_told_at_any_width(reproduced: bool | None, told: str) -> None:
    page = evaluation_page(replace(FOUND, reproduced=reproduced))
    assert_all_is_told(page)
    assert {told, "multi-modal-adapter on test", "75.00 % of 8,100 images (95 %: 74.0–76.0)", "90.00 %"} <= set(
        texts(page)
    )


def test_nothing_may_be_confused() -> None:
    assert_all_is_told(evaluation_page(replace(FOUND, confusions=[])))
