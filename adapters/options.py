"""A method's constructor arguments as command-line options: `--alpha 0.4 --text-alpha 0.2`."""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from adapters import methods
from adapters.base import Head
from adapters.errors import AdapterError

# Options of `adapters fit` itself, or facts of the cache.
NOT_OPTIONS = ("seed", "device", "logit_scale")


def describe_options(method: str) -> list[dict[str, Any]]:
    """What `adapters list METHOD` shows: option, type, default and meaning of each constructor argument.

    Raises:
        AdapterError: No such method.
    """
    head = methods.get(method)
    meanings = _meanings(head)
    return [
        {
            "option": _flag(name),
            "type": " or ".join(kind.__name__ for kind in kinds),
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
    params: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        flag, given, value = rest.pop(0).partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in known:
            raise AdapterError(_unknown(method, flag, known))
        if not given:
            if not rest:
                raise AdapterError(f"{flag} was given without a value; type for example `{flag} {known[name][1]}`")
            value = rest.pop(0)
        params[name] = _convert(flag, value, known[name][0])
    return params


def _arguments(head: type[Head]) -> dict[str, tuple[tuple[type, ...], Any]]:
    """Types (without None) and default of each constructor argument that is an option."""
    hints = typing.get_type_hints(head.__init__)
    return {
        name: (_types(hints[name]), parameter.default)
        for name, parameter in inspect.signature(head).parameters.items()
        if name not in NOT_OPTIONS
    }


def _types(hint: Any) -> tuple[type, ...]:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(option for option in options if option is not type(None))


def _convert(flag: str, value: str, kinds: tuple[type, ...]) -> Any:
    for kind in kinds:
        if kind is bool:
            if value.lower() in ("true", "false"):
                return value.lower() == "true"
            continue
        try:
            return kind(value)
        except ValueError:
            continue
    raise AdapterError(f"{flag} {value}: expected {' or '.join(kind.__name__ for kind in kinds)}")


def _unknown(method: str, flag: str, known: dict[str, Any]) -> str:
    flags = [_flag(name) for name in known]
    near = difflib.get_close_matches(flag, flags, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    listed = f"it has {', '.join(flags)}" if flags else "it has no options of its own"
    return f"{method} has no option {flag}; {meant}{listed} (see `adapters list {method}` and `adapters fit --help`)"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _meanings(head: type[Head]) -> dict[str, str]:
    """The `Args:` section of the class's docstring, by name."""
    section = re.search(r"^Args:\n((?: {4}.*\n?)+)", inspect.getdoc(head) or "", re.MULTILINE)
    entries = re.split(r"\n {4}(?=\w+:)", "\n" + section.group(1).rstrip()) if section else []
    pairs = (entry.split(":", 1) for entry in entries if ":" in entry)
    return {name.strip(): " ".join(meaning.split()) for name, meaning in pairs}
