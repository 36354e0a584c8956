"""An option that offers the names of a list."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from featcache.commands.shared.choices import choice

MEANINGS = {"near": "what lies beside", "far": "all the rest"}


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(rich_markup_mode="markdown")

    @app.command()
    def go(
        where: Annotated[str, choice(of=MEANINGS, help="Where to go.", meanings=MEANINGS)] = "near",
        shape: Annotated[str | None, choice("--format", of=["round"], help="How.")] = None,
    ) -> None:
        print(where, shape)

    return app


def test_a_name_of_the_list_is_taken(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, []).stdout == "near None\n"
    assert CliRunner().invoke(app, ["--where", "far", "--format", "round"]).stdout == "far round\n"


def test_another_is_refused_with_all_there_are(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["--where", "up"])
    assert done.exit_code == 2
    assert "'up' is not one of 'near', 'far'" in done.output
    assert "did you mean" not in done.output
    assert "did you mean near" in " ".join(
        CliRunner().invoke(app, ["--where", "naer"], env={"COLUMNS": "200"}).output.split()
    )


def test_help_shows_the_names_and_what_they_mean(app: typer.Typer) -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).stdout
    assert "<near|far>" in shown
    assert "<round>" in shown
    assert "near: what lies beside" in shown
    assert "[default: near]" in shown
