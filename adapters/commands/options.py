"""A method's constructor arguments as command-line options: `--alpha 0.4 --text-alpha 0.2`, or grids of them."""

from __future__ import annotations

import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from adapters import methods
from adapters.errors import AdapterError
from adapters.head import Head

Kind = type | str
"""A type, or one of the words that are allowed."""

# Options of `adapters fit` itself, or facts of the cache.
NOT_OPTIONS = ("seed", "device", "logit_scale")
SHORT = {"wd": "weight_decay"}
"""Other names of options."""
LARGEST_RANGE = 10_000
"""Values of a range `lo:hi:step`; more are a slip of the pen."""


def describe_options(method: str) -> list[dict[str, Any]]:
    """What `adapters list METHOD` shows: option, type, default and meaning of each constructor argument.

    Raises:
        AdapterError: No such method.
    """
    head = methods.get(method)
    # A head that refines another explains only what it adds.
    meanings = {name: text for base in reversed(head.__mro__) for name, text in _meanings(base).items()}
    return [
        {
            "option": _flag(name),
            "type": " or ".join(map(_name, kinds)),
            "default": default,
            "meaning": meanings.get(name, ""),
        }
        for name, (kinds, default) in _arguments(head).items()
    ]


def parse_options(method: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Turn `["--alpha", "0.4", "--epochs=50"]` into `{"alpha": 0.4, "epochs": 50}`.

    Raises:
        AdapterError: No such method or option, or a value of the wrong type.
    """
    known = _arguments(methods.get(method))
    return {name: _convert(flag, value, known[name][0]) for name, flag, value in _given(method, arguments, known)}


def parse_grid(method: str, arguments: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Turn `["--alpha", "0:1:0.5", "--lr=1e-3,1e-2"]` into `{"alpha": (0.0, 0.5, 1.0), "lr": (0.001, 0.01)}`.

    Values are separated by commas; `lo:hi:step` is a range of them, both ends included.

    Raises:
        AdapterError: No such method or option, a value of the wrong type, or a range that is none.
    """
    known = _arguments(methods.get(method))
    return {
        name: tuple(
            dict.fromkeys(
                _convert(flag, value, known[name][0])
                for part in values.split(",")
                for value in (_range(flag, part) if ":" in part and {int, float} & {*known[name][0]} else [part])
            )
        )
        for name, flag, values in _given(method, arguments, known)
    }


def _given(
    method: str, arguments: Sequence[str], known: dict[str, tuple[tuple[Kind, ...], Any]]
) -> Iterator[tuple[str, str, str]]:
    """Name, flag and text of each option that was typed."""
    rest = list(arguments)
    while rest:
        flag, given, value = rest.pop(0).partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        name = SHORT.get(name, name)
        if not flag.startswith("--") or name not in known:
            raise AdapterError(_unknown(method, flag, known))
        if not given:
            if not rest:
                raise AdapterError(f"{flag} was given without a value; type for example `{flag} {known[name][1]}`")
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


def _arguments(head: type[Head]) -> dict[str, tuple[tuple[Kind, ...], Any]]:
    """Types and default of each constructor argument that is an option."""
    hints = typing.get_type_hints(head.__init__)
    return {
        name: (_types(hints[name]), parameter.default)
        for name, parameter in inspect.signature(head).parameters.items()
        if name not in NOT_OPTIONS
    }


def _types(hint: Any) -> tuple[Kind, ...]:
    """The types that a hint allows, and the words of a `Literal`."""
    if typing.get_origin(hint) is typing.Literal:
        return tuple(typing.get_args(hint))
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(kind for option in options for kind in _expanded(option))


def _expanded(option: Any) -> tuple[Kind, ...]:
    return _types(option) if typing.get_origin(option) is typing.Literal else (option,)


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


def _unknown(method: str, flag: str, known: dict[str, Any]) -> str:
    flags = [_flag(name) for name in known]
    near = difflib.get_close_matches(flag, flags, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    listed = f"it has {', '.join(flags)}" if flags else "it has no options of its own"
    return f"{method} has no option {flag}; {meant}{listed} (see `adapters list {method}` and `adapters fit --help`)"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _meanings(head: type) -> dict[str, str]:
    """The `Args:` section of the class's docstring, by name."""
    section = re.search(r"^Args:\n((?: {4}.*\n?)+)", inspect.cleandoc(head.__doc__ or ""), re.MULTILINE)
    entries = re.split(r"\n {4}(?=\w+:)", "\n" + section.group(1).rstrip()) if section else []
    pairs = (entry.split(":", 1) for entry in entries if ":" in entry)
    return {name.strip(): " ".join(meaning.split()) for name, meaning in pairs}
