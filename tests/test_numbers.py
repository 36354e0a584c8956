"""Numbers stay: `fit`, `search` and `bench` give what they gave, to the bit where arithmetic is the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.recorded_numbers import FILE, digits, eurosat, measure, measured, same_machine

RECORDED: dict[str, Any] = json.loads(FILE.read_text())
ROUNDING = 0.1
"""What another processor's rounding may change in an accuracy: of `mma` 6.5 points were seen, of all others 0.2."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numbers")


@pytest.fixture(scope="module")
def digits_cache(root: Path) -> str:
    return digits(root)


@pytest.fixture(scope="module")
def eurosat_cache(root: Path) -> str:
    shared = os.environ.get("FEATCACHE_SHARED")
    if shared is None:
        pytest.skip("FEATCACHE_SHARED is not set: no EuroSAT at hand")
    return eurosat(root, Path(shared))


def cases() -> list[Any]:
    """Of digits all but the protocols of `bench` that have tests of their own; EuroSAT takes minutes."""
    every = [(cache, *which) for cache in ("digits_cache", "eurosat_cache") for which in measured()]
    brief = [each[0] == "digits_cache" and each[2] not in ("base-to-new", "incremental") for each in every]
    return [
        pytest.param(*each, marks=[] if short else [pytest.mark.long]) for each, short in zip(every, brief, strict=True)
    ]


@pytest.mark.parametrize(("cache", "command", "name"), cases())
def test_numbers_stay(root: Path, cache: str, command: str, name: str, request: pytest.FixtureRequest) -> None:
    opened = request.getfixturevalue(cache)
    recorded = RECORDED[f"{opened} {command} {name}"]
    found = json.loads(json.dumps(measure(root, opened, command, name)))
    if same_machine(RECORDED["machine"]):
        assert found == recorded
    else:
        assert accuracies(command, found) == pytest.approx(accuracies(command, recorded), abs=ROUNDING)


def accuracies(command: str, numbers: Any) -> list[float]:
    """Accuracies on test rows that rest on no choice among settings."""
    if command == "fit":
        return [numbers["its own"]["accuracy"]["test"]]
    if command == "bench":
        return [row[3] for row in numbers]
    return [best["test"][which] for best in numbers for which in ("default", "zero_shot")]


def test_every_number_is_of_something_that_is_measured() -> None:
    ends = {f"{command} {name}" for command, name in measured()}
    assert {key.split(" ", 1)[1] for key in RECORDED if key != "machine"} == ends
