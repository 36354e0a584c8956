from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapters.runs.model_card import model_card
from adapters.runs.report import Report
from adapters.selection.regimes import ORACLE
from tests.adapters import reports

REPORT = replace(
    reports.REPORT,
    method="tip",
    dataset="shapes",
    model="tiny",
    shots=1,
    seed=3,
    select="support",
    hyperparameters={"alpha": 1.0, "beta": 5.5},
    parameters=0,
    prompts="plain",
    classes=4,
    rows={"support": 4, "val": None, "test": 48},
    run="/home/me/runs/tip-1shot",
)


def test_the_card_says_everything_that_a_number_needs(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    card = model_card(REPORT, cache.text, cache.encoder)
    assert card.startswith("---\nlibrary_name: featcache\n")
    assert "# tip on shapes, 1 shot a class" in card
    assert "| zero-shot | 50.12 (48.1–53.1) | 45.12 (48.1–53.1) | – | 50.12 | 0.700 | 5.23 |" in card
    assert "| **tip** | **75.49** (73.5–78.5) | 70.49 (73.5–78.5) | – | 75.49 | 0.700 | 5.23 |" in card
    for fact in ("seed 3", "`support`: the K shots themselves", "d" * 64, "ab" * 32, "`a photo of a annual crop.`"):
        assert fact in card
    assert "0 annual crop, 1 forest, 2 river, 3 sea" in card
    assert "adapters predict tip-1shot IMAGE" in card
    assert "/home/me" not in card  # a card travels, the places on this machine do not
    assert "**Note:**" not in card


def test_a_warning_stands_above_the_scores(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    assert "> too few images." in model_card(replace(REPORT, remarks=["too few images"]), cache.text, cache.encoder)
    card = model_card(replace(REPORT, note=ORACLE.warning, select="oracle"), cache.text, cache.encoder)
    assert card.index("ORACLE") < card.index("## Scores")


def test_the_card_says_how_alpha_was_chosen_where_it_was(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    found = {"alpha": 3.2, "lo": 2.9, "hi": 3.61234, "accuracy": 0.8125, "rows": 1040, "chosen_on": "support"}
    card = model_card(replace(REPORT, alpha_interval=found), cache.text, cache.encoder)
    assert "| 3.2 in [2.9, 3.612], 81.2 % of the 1,040 support rows (left out in turn) |" in card
    endless = replace(REPORT, alpha_interval={**found, "hi": None}, select="oracle")
    assert "3.2 in [2.9, ∞), 81.2 % of the 1,040 test rows" in model_card(endless, cache.text, cache.encoder)
    assert "as good" not in model_card(REPORT, cache.text, cache.encoder)


def test_a_report_of_an_earlier_version_loads() -> None:
    content = REPORT.to_json()
    del content["alpha_interval"], content["temperature"]
    assert Report.from_json(content) == REPORT


def test_a_pipe_in_a_prompt_does_not_break_the_table(make_cache: Callable[..., Any]) -> None:
    cache = make_cache()
    card = model_card(replace(REPORT, dataset="a|b"), cache.text, cache.encoder)
    assert "| data set | a\\|b, 4 classes |" in card
