"""A method's constructor arguments as command-line options: `--alpha 0.4 --text-alpha 0.2`, or grids of them."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from adapters.errors import AdapterError
from adapters.fitting.recipe import RUN_FACTS
from adapters.methods import DEFAULT, METHODS
from adapters.parameters import Kind, Parameter, parameters_of
from featcache.commands.shared.command import given_twice

SHORT = {"wd": "weight_decay"}
"""Other names of options."""
LARGEST_RANGE = 10_000
"""Values of a range `lo:hi:step`; more are a slip of the pen."""


def describe_options(method: str) -> list[dict[str, Any]]:
    """What `adapters list METHOD` shows: option, type, default, range, values tried and meaning of each.

    Raises:
        AdapterError: No such method.
    """
    return [
        {
            "option": _flag(name),
            "type": " or ".join(map(_name, option.kinds)),
            "default": option.default,
            "range": "" if option.range is None else str(option.range),
            "tried": list(option.tried),
            "meaning": option.meaning,
        }
        for name, option in _options(method).items()
    ]


def method_and_options(method: str, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The method and its options, whichever was typed first.

    Args:
        method: what was taken for the method: it, or the first word of an option, or the default one.
        arguments: the words that were left over.
    """
    if not method.startswith("--"):
        return method, list(arguments)
    options, words = [], [method, *arguments]
    named = DEFAULT
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            named = word
            continue
        options.append(word)
        if "=" not in word and words:
            options.append(words.pop(0))
    return named, options


def parse_options(method: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Turn `["--alpha", "0.4", "--epochs=50"]` into `{"alpha": 0.4, "epochs": 50}`.

    Raises:
        AdapterError: No such method or option, or a value of the wrong type.
    """
    known = _options(method)
    return {name: _convert(flag, value, known[name].kinds) for name, flag, value in _given(method, arguments, known)}


def parse_grid(method: str, arguments: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Turn `["--alpha", "0:1:0.5", "--lr=1e-3,1e-2"]` into `{"alpha": (0.0, 0.5, 1.0), "lr": (0.001, 0.01)}`.

    Values are separated by commas; `lo:hi:step` is a range of them, both ends included.

    Raises:
        AdapterError: No such method or option, a value of the wrong type, or a range that is none.
    """
    known = _options(method)
    return {
        name: tuple(
            dict.fromkeys(
                _convert(flag, value, known[name].kinds)
                for part in values.split(",")
                for value in (_range(flag, part) if ":" in part and {int, float} & {*known[name].kinds} else [part])
            )
        )
        for name, flag, values in _given(method, arguments, known)
    }


def _given(method: str, arguments: Sequence[str], known: Mapping[str, Parameter]) -> Iterator[tuple[str, str, str]]:
    """Name, flag and text of each option that was typed."""
    rest, seen = list(arguments), set[str]()
    while rest:
        flag, given, value = rest.pop(0).partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        name = SHORT.get(name, name)
        if not flag.startswith("--") or name not in known:
            raise AdapterError(_unknown(method, flag, known))
        if name in seen:
            raise AdapterError(given_twice(_flag(name)))
        seen.add(name)
        if not given:
            if not rest:
                raise AdapterError(f"{flag} was given without a value; type for example `{flag} {known[name].default}`")
            value = rest.pop(0)
        yield name, flag, value


def _range(flag: str, text: str) -> list[str]:
    """The numbers of `lo:hi:step`; in decimal, so that 0:1:0.05 holds 0.15 and ends in 1."""
    try:
        lo, hi, step = (Decimal(number.strip()) for number in text.split(":"))
        count = int((hi - lo) / step) + 1 if step > 0 and hi >= lo else 0
    except (InvalidOperation, OverflowError, ValueError):
        count = 0
    if not 0 < count <= LARGEST_RANGE:
        raise AdapterError(
            f"{flag} {text}: expected a range lo:hi:step of at most {LARGEST_RANGE:,} values, such as 0:1:0.05"
        )
    return [f"{lo + i * step:f}" for i in range(count)]


def _options(method: str) -> dict[str, Parameter]:
    """The constructor arguments that are options, by name."""
    return {name: each for name, each in parameters_of(METHODS[method]).items() if name not in RUN_FACTS}


def _name(kind: Kind) -> str:
    return kind if isinstance(kind, str) else "none" if kind is types.NoneType else kind.__name__


def _convert(flag: str, value: str, kinds: tuple[Kind, ...]) -> Any:
    if types.NoneType in kinds and value.lower() == "none":
        return None
    for kind in kinds:
        if isinstance(kind, str):
            if value == kind:
                return value
            continue
        if kind is types.NoneType:
            continue
        if kind is bool:
            if value.lower() in ("true", "false"):
                return value.lower() == "true"
            continue
        try:
            converted = kind(value)
        except ValueError:
            continue
        if isinstance(converted, float) and not math.isfinite(converted):
            raise AdapterError(f"{flag} {value}: expected a finite number")
        return converted
    raise AdapterError(f"{flag} {value}: expected {' or '.join(map(_name, kinds))}")


def _unknown(method: str, flag: str, known: Mapping[str, Parameter]) -> str:
    flags = [_flag(name) for name in known]
    near = difflib.get_close_matches(flag, flags, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    listed = f"it has {', '.join(flags)}" if flags else "it has no options of its own"
    return f"{method} has no option {flag}; {meant}{listed} (see `adapters list {method}` and `adapters fit --help`)"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
