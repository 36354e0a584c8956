"""An option that takes one value is given once."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import cli
from featcache.commands.shared.command import Command


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})

    @app.command(cls=Command)
    def taste(
        word: str,
        shots: Annotated[int, typer.Option("--shots", "-s")] = 1,
        cache: list[str] | None = None,
        default: bool = True,
    ) -> None:
        print(word, shots, cache, default)

    return app


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["a", "--shots", "1", "--shots", "2"], "--shots"),
        (["--shots=1", "a", "-s", "1"], "--shots"),
        (["a", "--default", "--no-default"], "--default"),
    ],
)
def test_twice_is_a_mistake(app: typer.Typer, words: list[str], flag: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert f"{flag} was given twice; expected once: leave out all but one" in done.output


def test_once_and_lists_are_none(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["a", "-s", "2", "--cache", "b", "--cache", "c", "--no-default"])
    assert (done.exit_code, done.stdout) == (0, "a 2 ['b', 'c'] False\n")
    assert CliRunner().invoke(app, ["-h", "--help"]).exit_code == 0


def test_help_cuts_no_name_off() -> None:
    for app in (cli.featcache_app(), cli.adapters_app()):
        whole = typer.main.get_command(app)
        for words, command in [((), whole), *(((name,), each) for name, each in whole.commands.items())]:  # type: ignore[attr-defined]
            for columns in ("50", "60", "80", "100"):
                shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": columns}).stdout
                for option in command.params:
                    for flag in (*option.opts, *option.secondary_opts):
                        assert not flag.startswith("-") or flag in shown, (words, columns, flag)
                assert "$FEATCACHE_HOME" in shown or "--root" not in shown


def test_the_list_of_commands_tells_each_in_full() -> None:
    shown = CliRunner().invoke(cli.adapters_app(), ["--help"], env={"COLUMNS": "60"}).stdout
    assert "for every number of shots and seed, as one program." in " ".join(shown.split())
