"""Lists of things that are asked for by name, each imported when it is: one must not wait for another's libraries."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from featcache.errors import FeatcacheError

T = TypeVar("T")


class Named(Mapping[str, T], Generic[T]):
    """Things of one kind by name, in the order in which they are shown.

    Args:
        what: the kind, as a message calls it: `method`, `--engine`.
        homes: name to `module:attribute`.
        error: what is raised for a name that is not in the list.

    Example:
        >>> Named("--engine", {"local": "featcache.extraction.engines.local_engine:LocalEngine"}, DataError)["local"]
        <class 'featcache.extraction.engines.local_engine.LocalEngine'>
    """

    def __init__(self, what: str, homes: Mapping[str, str], error: type[FeatcacheError]) -> None:
        self.what, self.homes, self.error = what, dict(homes), error

    def __iter__(self) -> Iterator[str]:
        return iter(self.homes)

    def __len__(self) -> int:
        return len(self.homes)

    def __contains__(self, name: object) -> bool:
        return name in self.homes

    def __getitem__(self, name: str) -> T:
        """Import and return the thing of that name.

        Raises:
            FeatcacheError: `error`, where there is none; the message suggests the nearest name and lists all.
        """
        if name not in self.homes:
            near = difflib.get_close_matches(str(name).lower().replace("_", "-"), self.homes, n=1)
            meant = f" did you mean {near[0]!r}?" if near else ""
            raise self.error(f"no {self.what} {name!r};{meant} expected one of {', '.join(self.homes)}")
        module, attribute = self.homes[name].split(":")
        found: T = getattr(import_module(module), attribute)
        return found
