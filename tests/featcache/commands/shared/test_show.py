"""What goes to which stream, and what a terminal sees."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from featcache.commands.shared.show import show, tell
from featcache.show.page import Page
from tests.processes import program, run


def test_the_result_and_what_is_told_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    show(lambda: {"a": 1}, lambda: Page(["a result"]), json=False)
    tell("a notice")
    assert capsys.readouterr() == ("a result\n", "a notice\n")


def test_only_what_is_asked_for_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    def never() -> Page:
        raise AssertionError

    show(lambda: {"a": "é"}, never, json=True)
    assert json.loads(capsys.readouterr().out) == {"a": "é"}
    show(never, lambda: Page(["text"]), json=False)


def test_a_file_has_a_line_a_row_and_no_colours() -> None:
    lines = run("featcache", "datasets").stdout.splitlines()
    eurosat = next(line for line in lines if line.startswith("eurosat "))
    assert re.split(" {2,}", eurosat) == ["eurosat", "EuroSAT (Sentinel-2, RGB)", "10", "13,500 / 5,400 / 8,100", "MIT"]
    assert not any(sign in "".join(lines) for sign in "\x1b│┃…")


def on_terminal(*words: str, columns: int) -> str:
    """What a terminal of that width is sent on standard output."""
    terminal, end = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen([*program(words[0]), *words], stdout=end, stderr=subprocess.PIPE, env=environment)
    os.close(end)
    told = b""
    try:
        while piece := os.read(terminal, 65536):
            told += piece
    except OSError:  # the other end is closed: how Linux ends a terminal
        pass
    os.close(terminal)
    assert process.wait(timeout=60) == 0, process.communicate()
    process.communicate()
    return re.sub(r"\x1b\[[0-9;]*m", "", told.decode()).replace("\r\n", "\n")


def test_a_terminal_has_tables_of_its_width() -> None:
    shown = on_terminal("featcache", "datasets", columns=60)
    assert "│ eurosat " in shown
    assert "13,500 / 5,400 / 8,100" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 60
    assert max(map(len, on_terminal("featcache", "datasets", columns=160).splitlines())) > 80


def test_a_reader_that_stops_reading_is_no_failure(root: Path) -> None:
    words = ["featcache", "models", "--json"]
    process = subprocess.Popen([*program("featcache"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert b"Traceback" not in process.communicate()[1]


def test_names_that_are_no_text_are_printed_all_the_same() -> None:
    code = (
        "from featcache.commands.shared.show import show\nfrom featcache.show.page import Page\n"
        "name = b'caf\\xe9.jpg'.decode('utf-8', 'surrogateescape')\n"
        "show(lambda: {'file': name}, lambda: Page([name]), json=True)\n"
        "show(lambda: None, lambda: Page([name]), json=False)"
    )
    done = subprocess.run([*program("featcache")[:2], code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content, line = done.stdout.rsplit("}\n", 1)
    assert json.loads(content + "}") == {"file": "caf\udce9.jpg"}
    assert line == "caf\\udce9.jpg\n"
