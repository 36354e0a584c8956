"""Several caches on the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cli
import featcache
from adapters.adding.add import add
from adapters.commands.fit import report_page
from adapters.commands.shared.caches import open_caches
from adapters.errors import AdapterError, TaskError
from adapters.runs.report import Report
from adapters.suggesting.suggest import suggest
from tests.adapters.joining.conftest import caches  # noqa: F401
from tests.pages import texts

Bring = Callable[..., Any]


@pytest.fixture(scope="module")
def home(caches: Bring) -> Path:  # noqa: F811
    """The root of two caches, and of one without text."""
    made = [caches("first"), caches("second", width=5, order=True), caches("mute", text=False)]
    return Path(made[0].path).parent.parent


def type_(home: Path, *words: str) -> Result:
    done = CliRunner().invoke(cli.adapters_app(), [*words, "--root", str(home)])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done


BOTH = ("--cache", "first", "--cache", "second")


@pytest.fixture(scope="module")
def report(home: Path) -> dict[str, Any]:
    done = type_(home, "fit", "zero-shot", "--shots", "2", *BOTH, "--weights", "1,3", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_run_of_joined_caches_is_opened_again_by_itself(home: Path, report: dict[str, Any], tmp_path: Path) -> None:
    assert [(part["cache"], part["weight"]) for part in report["joined"]["parts"]] == [
        ("first", 0.25),
        ("second", 0.75),
    ]
    scored = json.loads(type_(home, "eval", report["run"], "--json").stdout)
    assert scored["reproduced"] is True
    single = json.loads(type_(home, "fit", "zero-shot", "--shots", "2", "--cache", "first", "--json").stdout)
    compared = json.loads(type_(home, "compare", report["run"], single["run"], "--json").stdout)
    assert [each["scores"]["accuracy"] for each in compared["runs"]] == [
        each["accuracy"]["test"] for each in (report, single)
    ]
    page = tmp_path / "run.html"
    type_(home, "report", report["run"], "--out", str(page))
    assert "first+second" in page.read_text()
    with pytest.raises(AdapterError, match="no class can be added"):
        add(report["run"], {"owl": []}, root=str(home))


def test_weights_and_caches_are_told_with_what_to_type_next(home: Path, report: dict[str, Any]) -> None:
    shown = texts(report_page(Report.from_json(report), None))
    assert "first 0.25 + second 0.75; weights as given" in shown
    typed = shlex.split(next(text for text in shown if text.startswith("adapters fit")))
    assert typed[typed.index("--cache") : typed.index("--prompts")] == [*BOTH, "--weights", "0.25,0.75"]
    card = (Path(report["run"]) / "README.md").read_text()
    assert "first 0.25 + second 0.75; weights as given" in card


def test_a_bench_joins_where_it_is_told_to(home: Path, tmp_path: Path) -> None:
    words = ("bench", "--methods", "gda", "--shots", "2", "--seeds", "1", *BOTH, "--json", "--out", str(tmp_path))
    rows = json.loads(type_(home, *words, "--join", "--weights", "auto").stdout)["rows"]
    assert [row["cache"] for row in rows] == ["first+second"] * 2
    assert "weights exactly, on the shots" in rows[0]["joined"] or "weights equal" in rows[0]["joined"]
    apart = json.loads(type_(home, *words).stdout)["rows"]
    assert [(row["cache"], row["joined"]) for row in apart] == [
        ("first", ""),
        ("first", ""),
        ("second", ""),
        ("second", ""),
    ]


def test_a_search_and_an_audit_take_several_and_say_which(home: Path, tmp_path: Path) -> None:
    words = ("search", "gda", "--alpha", "1,2", "--shots", "2", "--seeds", "1", *BOTH, "--out", str(tmp_path), "--json")
    found = json.loads(type_(home, *words).stdout)
    assert found["joined"] == "first 0.5 + second 0.5; weights equal"
    audited = type_(home, "audit", "first", "--cache", "second").output
    assert "joined: first 0.5 + second 0.5" in audited
    assert "adapters audit first --cache second --csv FILE" in " ".join(audited.split())


@pytest.mark.parametrize(
    ("names", "weights", "message"),
    [
        (["first"], "1,2", "given for one cache"),
        (["first", "second"], "a,b", "expected numbers"),
        (["first", "second"], "1", "expected 2 numbers"),
    ],
)
def test_weights_that_do_not_fit_are_refused(home: Path, names: list[str], weights: str, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        open_caches(names, weights, str(home))


@pytest.mark.parametrize("command", ["search", "audit", "bench"])
def test_nobody_chooses_weights_where_nothing_is_fitted_to_choose_by(home: Path, command: str) -> None:
    words = {
        "search": ["search", "gda", "--shots", "2"],
        "audit": ["audit"],
        "bench": ["bench", "--methods", "gda", "--shots", "2", "--join", "--protocol", "base-to-new"],
    }[command]
    done = CliRunner().invoke(cli.adapters_app(), [*words, *BOTH, "--weights", "auto", "--root", str(home)])
    assert isinstance(done.exception, AdapterError)
    assert "type numbers" in str(done.exception)


def test_a_head_fitted_on_joined_caches_suggests_from_one_of_them(home: Path, report: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match=r"every image of cache first\+second has a label"):
        suggest(featcache.open("first", str(home)), run=report["run"], root=str(home))
