"""Records that are read back from files: JSON of the types that were written, and a digest of what it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

SEAL = "seal"
"""The key of a file's digest. Files of older versions have none."""
MOST_LEVELS = 100
"""Levels of lists and objects that a file of ours stays far below; more of them end Python's stack somewhere."""


class Malformed(ValueError):  # noqa: N818 - named as the reader will say it
    """A file is not the record that was expected; the message says which field, and what was expected of it."""


def parse_json(content: bytes | str) -> Any:
    """What a JSON file says.

    Raises:
        Malformed: It is not JSON, or JSON that none of our writers writes.
    """
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise Malformed("too many levels of lists and objects") from error
    except ValueError as error:
        raise Malformed(f"it is not JSON ({' '.join(str(error).split())})") from error
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [part for each in level for part in _parts(each) if isinstance(part, dict | list)]
        if not level:
            return value
    raise Malformed(f"more than {MOST_LEVELS} levels of lists and objects")


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def checked(content: Any, kind: type[T]) -> T:
    """JSON values as a record: a dataclass or a typed dictionary; keys that it does not know are left out.

    Raises:
        Malformed: A field is missing or of another type; the message names it.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise Malformed(_in_words(str(error))) from error


def _in_words(told: str) -> str:
    """What msgspec says, with the field first: ``Expected `int`, got `str` - at `$.seed` ``."""
    what, _, where = told.partition(" - at ")
    field = where.strip("`").removeprefix("$").removeprefix(".")
    told = what[:1].lower() + what[1:].replace("`", "")
    return f"{field}: {told}" if field else told


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and no spaces: equal contents give equal texts."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(content: Any) -> str:
    """SHA-256 of the canonical JSON of `content`."""
    return hashlib.sha256(canonical_json(content).encode(errors="surrogatepass")).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its digest."""
    return {**content, SEAL: digest(content)}


def unsealed(content: Any) -> dict[str, Any]:
    """A JSON object without its digest, which is that of the rest.

    Raises:
        Malformed: It is no object, or says something else than what was written.
    """
    if not isinstance(content, dict):
        raise Malformed(f"it: expected object, got {type(content).__name__}")
    rest = {key: value for key, value in content.items() if key != SEAL}
    if SEAL in content and content[SEAL] != digest(rest):
        raise Malformed("it is not what was written")
    return rest
