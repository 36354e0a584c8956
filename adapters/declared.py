"""What a method's class says of itself, read from its source: to import all heads and their libraries takes seconds.

Read are class variables with a literal value and the number of trained parameters, `_count`, which for this uses
hyper-parameters, its arguments and arithmetic alone. Where a class does not say a thing, its bases are asked.

A class says what it needs beside images and class text in `Head.needs`: before the first semicolon what it does not
work without, behind it what it uses if that is there. Methods are grouped by the words of `NEEDS` before the semicolon.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NOTHING = "nothing"
"""The group of methods that any cache is enough for."""
VIEWS = "views"
"""The group of methods that compare several pictures of an image, or several prompts of a class."""
NEEDS = {
    NOTHING: "any cache with class names will do",
    VIEWS: "featcache extract --views N; or several prompts a class",
    "prompts": "several prompts a class: featcache text CACHE --templates FILE",
    "a second cache": "the same images by another encoder: --cache A --cache B",
    "unlabelled rows": "training images beside the shots, labelled or not",
    "pre-projection features": "featcache extract --keep pre-projection",
}
"""Every need, and what gives it; in the order in which they are told."""


def group_of(needs: str) -> str:
    """The first of `NEEDS` that a class does not work without.

    Args:
        needs: `Head.needs`.
    """
    required = needs.partition(";")[0]
    named = (need for need in NEEDS if need != NOTHING and re.search(rf"\b{need}\b", required))
    return next(named, NOTHING)


class Declared:
    """A class of this package as its source declares it.

    Args:
        home: `module:class`.
    """

    def __init__(self, home: str) -> None:
        self.name = home.split(":")[1]
        found = list(_with_bases(home))
        # As in Python: a base that several share comes after all of them.
        self._classes = [each for place, each in enumerate(found) if each not in found[place + 1 :]]

    def __getitem__(self, variable: str) -> Any:
        """The value of a class variable.

        Raises:
            KeyError: neither the class nor a base gives it a literal value.
        """
        for each in self._classes:
            for node in each.body:
                if isinstance(node, ast.AnnAssign) and node.value is not None and _named(node.target, variable):
                    return ast.literal_eval(node.value)
        raise KeyError(f"{self.name} does not declare {variable}")

    def count(self, *, classes: int, dim: int, rows: int) -> int:
        """How many numbers are trained with default hyper-parameters; see `Head._count`."""
        function = self._function("_count")
        function.decorator_list, function.returns = [], None
        for argument in function.args.args:
            argument.annotation = None
        module = ast.fix_missing_locations(ast.Module([function], []))
        scope: dict[str, Any] = {}
        exec(compile(module, self.name, "exec"), scope)
        return int(scope["_count"](SimpleNamespace(**self._defaults()), classes, dim, rows))

    def _function(self, name: str) -> ast.FunctionDef:
        functions = (node for each in self._classes for node in each.body if isinstance(node, ast.FunctionDef))
        return next(node for node in functions if node.name == name)

    def _defaults(self) -> dict[str, Any]:
        arguments = self._function("__init__").args
        pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        return {argument.arg: ast.literal_eval(default) for argument, default in pairs if default is not None}


def _with_bases(home: str) -> Iterator[ast.ClassDef]:
    """A class, then its bases in this package, each followed by its own."""
    module, name = home.split(":")
    tree = _parsed(module)
    here = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    imported = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(__package__)
        for alias in node.names
    }
    yield here[name]
    for base in here[name].bases:
        plain = base.value if isinstance(base, ast.Subscript) else base  # TrainedHead[Plan]
        if isinstance(plain, ast.Name) and plain.id in here:
            yield from _with_bases(f"{module}:{plain.id}")
        elif isinstance(plain, ast.Name) and plain.id in imported:
            yield from _with_bases(imported[plain.id])


@cache
def _parsed(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {module}", name=module)
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _named(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name
