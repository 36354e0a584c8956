"""The house: rooms on floors that import downwards alone, no circle among modules, no crowded room."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGES = ("featcache", "adapters")
MOST_MODULES = 14


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        (
            "featcache/places/home.py",
            "import featcache.cache.layout",
            "A room of featcache imports only rooms below it",
        ),
        ("featcache/cache/plan.py", "import featcache.datasets.cards", "A room of featcache imports only rooms below"),
        ("featcache/errors.py", "import adapters.errors", "featcache never imports adapters"),
        ("adapters/support.py", "import adapters.head", "A room of adapters imports only rooms below it"),
        (
            "adapters/tasks/task.py",
            "if TYPE_CHECKING:\n    import adapters.selection.regimes",
            "A room of adapters imports only rooms below it",
        ),
        (
            "adapters/heads/linear.py",
            "def late():\n    import adapters.methods",
            "A room of adapters imports only rooms below it",
        ),
        ("adapters/bench/cells.py", "import adapters.search.grid", "A room of adapters imports only rooms below it"),
        ("adapters/training/stack_parts.py", "import adapters.head", "A stack takes plans and gives arrays"),
        ("adapters/methods.py", "import torch", "it does not import torch"),
        ("adapters/heads/gda.py", "import faiss", "Only the key index knows FAISS"),
        ("adapters/newcomer.py", "", "A room of adapters imports only rooms below it"),
    ],
)
def test_a_line_that_breaks_a_floor_is_found(copy: Path, file: str, line: str, broken: str) -> None:
    with (copy / file).open("a") as end:
        end.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1, done.stdout
    told = " ".join(done.stdout.split())
    found = re.findall(r"([^\d()]+?) (KEPT|BROKEN)", told)
    assert [name for name, state in found if state == "BROKEN" and broken in name], told


def test_the_house_stands() -> None:
    done = lint(CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    """Counts imports under TYPE_CHECKING and inside functions too; raises `CycleError`, which names the circle."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)
    modules = graph.modules - {package}  # the lazy list of public names, which nothing inside imports
    imports = {module: graph.find_modules_directly_imported_by(module) for module in modules}
    assert not any(package in imported for imported in imports.values())
    assert len(list(TopologicalSorter(imports).static_order())) == len(modules)


def test_no_room_is_crowded() -> None:
    rooms = [file.parent for package in PACKAGES for file in (CHECKOUT / package).rglob("__init__.py")]
    assert len(rooms) > 20
    crowded = {str(room): n for room in rooms if (n := len(list(room.glob("[!_]*.py")))) > MOST_MODULES}
    assert not crowded
