"""What the code of a method says: a digest that changes when its numbers may, and not when others' do."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PACKAGE = "adapters"
LISTS = frozenset({PACKAGE, "adapters.methods", "adapters.bench.protocols.protocols"})
"""Modules that say what there is: another entry changes no number of those that are there."""


def code_digest(*modules: str, checkout: Path = CHECKOUT) -> str:
    """SHA-256 of modules of this package and of all in it that they import, but for comments and docstrings.

    Args:
        modules: names such as `adapters.heads.gda`; no module is imported. What is no file of the checkout, such as a
            method that was registered from elsewhere, adds nothing.
        checkout: the folder that the package lies in.
    """
    found: dict[str, str] = {}
    ahead = list(modules)
    while ahead:
        name = ahead.pop()
        file = _file(name, checkout)
        if name not in found and name not in LISTS and file.is_file():
            found[name], imported = _read(file)
            ahead += imported
    return hashlib.sha256("".join(f"{name} {found[name]}\n" for name in sorted(found)).encode()).hexdigest()


def _file(module: str, checkout: Path) -> Path:
    place = checkout.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def _read(file: Path) -> tuple[str, tuple[str, ...]]:
    """Digest of a module's code, and what it may import of this package."""
    tree = ast.parse(file.read_bytes())
    imported = tuple(dict.fromkeys(_imports(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _says_only(each)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


def _says_only(statement: ast.stmt) -> bool:
    """Whether it is a docstring, of a variable too."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{each.name}" for each in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == PACKAGE)
