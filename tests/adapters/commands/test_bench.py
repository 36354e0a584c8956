from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from adapters.bench.formats.formats import FORMATS
from adapters.bench.protocols.protocols import PROTOCOLS
from tests.processes import imported, run


def test_every_format_goes_to_standard_output(root: Path) -> None:
    run("featcache", "extract", "--model", "tiny", "--dataset", "digits", "--limit", "50")
    asked = ("bench", "--methods", "tip", "--shots", "1,2", "--seeds", "1,2")
    shown = {form: CliRunner().invoke(cli.adapters_app(), [*asked, "--format", form]).stdout for form in FORMATS}
    assert shown["markdown"].startswith("**few-shot · digits-tiny-limit50")
    assert shown["latex"].startswith("% needs")
    assert shown["csv"].startswith("protocol,select,table,method")
    with_flag = CliRunner().invoke(cli.adapters_app(), [*asked, "--format", "csv", "--json"]).stdout
    assert json.loads(shown["json"])["methods"] == json.loads(with_flag)["methods"] == ["zero-shot", "tip"]
    first, *rows = shown["table"].splitlines()
    assert first.startswith("few-shot · digits-tiny-limit50")
    assert [row.split()[0] for row in rows[:3]] == ["method", "zero-shot", "tip"]


def test_a_protocol_or_format_needs_no_change_of_the_command() -> None:
    shown = " ".join(CliRunner().invoke(cli.adapters_app(), ["bench", "--help"], env={"COLUMNS": "300"}).stdout.split())
    assert f"<{'|'.join(PROTOCOLS)}>" in shown
    assert f"<{'|'.join(FORMATS)}>" in shown


@pytest.mark.parametrize("command", ["bench", "search"])
def test_help_imports_nothing_heavy(command: str) -> None:
    assert imported(("adapters", command, "-h"), {"numpy", "torch", "sklearn", "pyarrow", "matplotlib"}) == set()
