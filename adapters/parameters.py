"""Hyper-parameters as a head's constructor declares them: type, default, range and what is worth trying.

    def __init__(self, *, alpha: Ratio = 0.2, lr: Annotated[NotNegative, Tried(1e-3, 1e-2)] = 1e-3) -> None

A range stands beside the argument, words in a `Literal`, the meaning in the class's docstring. A head checks them when
it is fitted, the command lines show and parse them, and a search asks what a head would take.
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any

import numpy as np

from adapters.errors import AdapterError

Kind = type | str
"""A type, or one of the words that are allowed."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; an end belongs to it unless it is `open`.

    Attributes:
        low: the least.
        high: the largest.
        open: ends that do not belong to it: "", "low", "high".
    """

    low: float
    high: float = math.inf
    open: str = ""

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open == "low" else value >= self.low
        return above and (value < self.high if self.open == "high" else value <= self.high)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"a number above {self.low:g}" if self.open == "low" else f"{self.low:g} or more"
        if self.open == "high":
            return f"{self.low:g} or more and below {self.high:g}"
        return f"{'above' if self.open == 'low' else 'from'} {self.low:g} to {self.high:g}"


class Tried(tuple[Any, ...]):
    """Values that `tuned` tries where it has to fit once for each, ascending."""

    def __new__(cls, *values: Any) -> Tried:
        """`Tried(0.1, 1.0)`."""
        return super().__new__(cls, values)


NotNegative = Annotated[float, Range(0)]
Above0 = Annotated[float, Range(0, open="low")]
Ratio = Annotated[float, Range(0, 1)]
BelowOne = Annotated[float, Range(0, 1, open="high")]
Count = Annotated[int, Range(0)]
AtLeast1 = Annotated[int, Range(1)]


@dataclass(frozen=True)
class Parameter:
    """One argument of a head's constructor.

    Attributes:
        name: its name.
        kinds: types, and words of a `Literal`; `NoneType` where it may be None.
        default: what it is unless given.
        range: where numbers must lie; None where any will do.
        tried: what `tuned` tries where it fits once for each value; may be empty.
        meaning: what the class's docstring says of it.
    """

    name: str
    kinds: tuple[Kind, ...]
    default: Any
    range: Range | None
    tried: tuple[Any, ...]
    meaning: str

    @property
    def expected(self) -> str:
        """What is allowed, in words; empty where any value of its types is."""
        words = [kind for kind in self.kinds if isinstance(kind, str)]
        parts = [str(self.range)] if self.range else []
        parts += [", ".join(words[:-1])] if len(words) > 1 else []
        allowed = " or ".join([*parts, *words[-1:]])
        return f"{allowed}, or None" if allowed and types.NoneType in self.kinds else allowed

    def check(self, value: Any) -> None:
        """Refuse a value that is not allowed.

        Raises:
            AdapterError: names the parameter, the value and what was expected.
        """
        words = [kind for kind in self.kinds if isinstance(kind, str)]
        if (value is None and types.NoneType in self.kinds) or (isinstance(value, str) and value in words):
            return
        if bool in self.kinds:
            require(isinstance(value, bool | np.bool_), self.name, value, "True or False")
        elif float in self.kinds:
            require(is_number(value), self.name, value, self.expected or "a number")
        elif int in self.kinds:
            expected = f"an integer, {self.expected}" if self.expected else "an integer"
            require(is_integer(value), self.name, value, expected)
        elif str in self.kinds:
            require(isinstance(value, str), self.name, value, "a word")
        elif words:
            require(False, self.name, value, self.expected)
        if self.range is not None:
            require(value in self.range, self.name, value, self.expected)


def is_number(value: object) -> bool:
    """Whether it is a real number that a float holds; True, False and NaN are none."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) >= 0
    except OverflowError:
        return False


def is_integer(value: object) -> bool:
    """Whether it is an integer of 64 bits; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63


def parameters_of(head: type) -> dict[str, Parameter]:
    """Every argument of a head's constructor by name, in its order."""
    return _read(head)


@cache
def _read(head: Any) -> dict[str, Parameter]:
    hints = typing.get_type_hints(head.__init__, include_extras=True)
    # A head that refines another explains only what it adds.
    meanings = {name: text for base in reversed(head.__mro__) for name, text in _meanings(base).items()}
    found = {}
    for name, argument in inspect.signature(head).parameters.items():
        kinds, extras = _unpacked(hints[name])
        ranges = [extra for extra in extras if isinstance(extra, Range)]
        tried = next((extra for extra in extras if isinstance(extra, Tried)), ())
        meaning = meanings.get(name, "")
        found[name] = Parameter(name, kinds, argument.default, ranges[0] if ranges else None, tuple(tried), meaning)
    return found


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Raise an `AdapterError` that names a hyper-parameter, its value and what was expected, unless it holds."""
    if not condition:
        raise AdapterError(f"{name}={value!r}; expected {expected}")


def _unpacked(hint: Any) -> tuple[tuple[Kind, ...], tuple[Any, ...]]:
    """The types and words that a hint allows, and what stands beside them in `Annotated`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        kinds, extras = _unpacked(arguments[0])
        return kinds, (*extras, *arguments[1:])
    if origin is typing.Literal:
        return arguments, ()
    if origin in (types.UnionType, typing.Union):
        parts = [_unpacked(part) for part in arguments]
        return tuple(kind for part, _ in parts for kind in part), tuple(extra for _, part in parts for extra in part)
    return (hint,), ()


def _meanings(head: Any) -> dict[str, str]:
    """The `Args:` section of the class's docstring, by name."""
    return dict(_entries(inspect.cleandoc(head.__doc__ or "")))


def _entries(text: str) -> Iterator[tuple[str, str]]:
    section = re.search(r"^Args:\n((?: {4}.*\n?)+)", text, re.MULTILINE)
    for entry in re.split(r"\n {4}(?=\w+:)", "\n" + section.group(1).rstrip()) if section else []:
        name, colon, meaning = entry.partition(":")
        if colon:
            yield name.strip(), " ".join(meaning.split())
