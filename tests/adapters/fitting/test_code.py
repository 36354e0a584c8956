"""The digest of a method's code: it follows what the method imports, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adapters.fitting import code
from adapters.fitting.code import CHECKOUT, code_digest
from adapters.methods import METHODS

GDA = "adapters.heads.gda"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(CHECKOUT / "adapters", tmp_path / "adapters", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "follows"),
    [
        ("heads/gda.py", "1 / n", "2 / n", True),
        ("support.py", "views.mean(1)", "views.max(1)", True),
        ("heads/gda.py", '"""', '"""Another word. ', False),
        ("heads/gda.py", "from typing", "# a comment\nfrom typing", False),
        ("heads/linear.py", "GRID = (1e6", "GRID = (1e7", False),
        ("methods.py", '"gda":', '"other": "adapters.heads.gda:GDA",\n        "gda":', False),
    ],
)
def test_it_follows_the_code_that_a_method_runs(checkout: Path, file: str, old: str, new: str, follows: bool) -> None:
    place = checkout / "adapters" / file
    before = code_digest(GDA, checkout=checkout)
    assert before == code_digest(GDA)
    text = place.read_text()
    if file == "heads/gda.py" and follows:
        old = next(line for line in text.splitlines() if line.strip().startswith("return base, features @"))
        new = old + " + 1"
    assert old in text
    place.write_text(text.replace(old, new, 1))
    code._read.cache_clear()
    assert (code_digest(GDA, checkout=checkout) != before) is follows


def test_methods_differ() -> None:
    assert len({code_digest(home.partition(":")[0]) for home in METHODS.homes.values()}) >= len(METHODS) - 1
