"""The command that is proposed after a fit follows from what was found, and works."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

from adapters.commands.shared.next_step import next_step
from adapters.commands.shared.options import parse_options
from tests.adapters.reports import REPORT, scores


def found(test: float, zero_shot: float = 0.5, **changes: Any) -> Any:
    return replace(REPORT, scores={"zero_shot": scores(zero_shot), "val": None, "test": scores(test)}, **changes)


def test_zero_shot_at_chance_wants_other_words() -> None:
    step = next_step(found(0.3, 0.1), "a b")
    assert step.command == "featcache text eurosat --templates FILE --root 'a b'"


def test_a_head_below_zero_shot_gives_way_to_auto() -> None:
    assert next_step(found(0.4), None).command == "adapters fit auto --shots 4 --seed 1 --cache eurosat"


def test_otherwise_more_seeds_of_what_was_asked_for() -> None:
    asked = {"select": "val", "options": {"alpha": 0.5, "stop": None}, "calibrate": True, "allow_fewer": False}
    words = shlex.split(next_step(found(0.8, asked=asked), None).command)
    assert words[:3] == ["adapters", "fit", "clip"]
    assert words[3:11] == ["--shots", "4", "--seeds", "1,2,3", "--cache", "eurosat", "--prompts", "coop"]
    assert words[11:14] == ["--select", "val", "--calibrate"]
    assert parse_options("clip", words[14:16]) == {"alpha": 0.5}


def test_auto_is_compared_with_single_methods() -> None:
    assert "adapters bench --methods auto," in next_step(found(0.8, method="auto"), None).command
