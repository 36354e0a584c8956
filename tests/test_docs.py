"""What the documents say of files is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from adapters.methods import METHODS

CHECKOUT = Path(__file__).parents[1]
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"), CHECKOUT / "benchmarks/RESULTS.md"])
TOYS = (
    "adapters/heads/class_mean.py",
    "adapters/bench/protocols/half_classes.py",
    "featcache/extraction/engines/threads_engine.py",
    "featcache/datasets/sources/list_file.py",
)
"""Files that `docs/extending.md` adds."""


def rows_of(document: Path, heading: str) -> list[list[str]]:
    """The cells of the table whose first line that is."""
    lines = document.read_text().splitlines()
    start = lines.index(heading) + 2
    length = next(i for i, line in enumerate([*lines[start:], ""]) if not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start : start + length]]


def test_every_method_has_a_row_whose_file_holds_its_class() -> None:
    rows = rows_of(
        CHECKOUT / "docs/methods.md",
        "| method | file in `adapters/heads/` | source | evidence | largest difference |",
    )
    told = {}
    for methods, files, *_ in rows:
        names, paths = re.findall(r"`([^`]+)`", methods), re.findall(r"`([^`]+)`", files)
        told.update(zip(names, paths if len(paths) > 1 else paths * len(names), strict=True))
    homes = {name: home.split(":") for name, home in METHODS.homes.items()}
    assert told == {
        name: module.removeprefix("adapters.heads.").replace(".", "/") + ".py" for name, (module, _) in homes.items()
    }
    for name, (_, of_method) in homes.items():
        tree = ast.parse((CHECKOUT / "adapters/heads" / told[name]).read_text())
        assert of_method in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_the_map_has_a_line_for_every_room_in_its_own_words() -> None:
    lines = [
        (room.strip("`"), text)
        for _, room, text in rows_of(CHECKOUT / "CONTRIBUTING.md", "| floor | room | what lives there |")
    ]
    told = {room: text for room, text in lines if room.endswith("/")}
    assert len(lines) == len({room for room, _ in lines})
    files = [file for package in ("featcache", "adapters") for file in (CHECKOUT / package).glob("*/**/__init__.py")]
    assert told == {
        f"{file.parent.relative_to(CHECKOUT).as_posix()}/": ast.get_docstring(ast.parse(file.read_text()))
        for file in files
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_are_there(document: Path) -> None:
    text = document.read_text()
    paths = re.findall(r"\b(?:adapters|featcache|tests|benchmarks|docs|data)/[\w/]+\.(?:py|md)\b", text)
    assert not [path for path in paths if path not in TOYS and not (CHECKOUT / path).exists()]
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert not [link for link in links if not (document.parent / link).exists()]
    modules = re.findall(r"python -m (benchmarks\.\w+|tests\.\w+)", text)
    assert not [module for module in modules if not (CHECKOUT / f"{module.replace('.', '/')}.py").exists()]
