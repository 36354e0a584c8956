"""The command lines as processes see them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

ENTRIES = {"featcache": "run_featcache", "adapters": "run_adapters"}


def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `featcache …` or `adapters …` in a process of its own."""
    done = subprocess.run([*program(words[0]), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert "leaked" not in done.stderr, done.stderr  # what triton says where the exit skips its objects
    return done


def program(name: str) -> list[str]:
    """What starts the command line of that name; the words that are typed follow, its name first."""
    return [sys.executable, "-c", f"import sys, cli; sys.argv = sys.argv[1:]; cli.{ENTRIES[name]}()"]


def mistake(*words: str) -> str:
    """The one line that a user's mistake ends in."""
    done = run(*words, status=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def imported(words: Iterable[str], libraries: Iterable[str]) -> set[str]:
    """Which of these libraries a command imports."""
    code = (
        "import sys, cli\nlibraries = sys.argv[1].split(',')\nsys.argv = sys.argv[2:]\n"
        "try: getattr(cli, 'run_' + sys.argv[0])()\n"
        "except SystemExit as exit: status = exit.code\n"
        "print(status, *set(libraries) & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, ",".join(libraries), *words], capture_output=True, text=True)
    status, *found = done.stderr.splitlines()[-1].split()
    assert status == "0", done.stderr
    return set(found)


def children(parent: int) -> dict[int, str]:
    """The processes that a process has started, and their command lines."""
    listed = subprocess.run(["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return {int(pid): command for pid, of, command in rows if int(of) == parent}
