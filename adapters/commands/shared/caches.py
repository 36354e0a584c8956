"""The cache that a command works on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import featcache
from adapters.errors import AdapterError
from adapters.joining.opening import open_place
from featcache.commands.shared.show import tell

if TYPE_CHECKING:
    from featcache.cache.reading import Cache


def open_cache(name: str | None, root: str | None, labels: Path | None = None) -> Cache:
    """The cache of that name; without one the cache that was extracted last, which is told.

    Args:
        name: as given.
        root: where caches live.
        labels: a file of mended labels, whose effect is told; None: the data set's own.
    """
    if name:
        cache = open_place(name, root)
    else:
        cache = featcache.latest(root)
        tell(f"Using the cache extracted last: {cache.name}")
    return _mended(cache, labels)


def open_caches(
    names: Sequence[str] | None, weights: str | None, root: str | None, labels: Path | None = None
) -> Cache:
    """The cache that was named, or the join of several.

    Args:
        names: as given; the other arguments are those of `open_cache`.
        weights: of several, as given.
        root: where caches live.
        labels: a file of mended labels.

    Raises:
        AdapterError: weights of one cache, or that are no numbers.
    """
    names = names or []
    if len(names) > 1:
        from adapters.joining.joined_cache import join

        shares = _weights_given(weights)
        return _mended(join([open_place(name, root) for name in names], shares), labels)
    if weights is not None:
        raise AdapterError(f"--weights {weights} given for one cache; expected several: type --cache A --cache B")
    return open_cache(names[0] if names else None, root, labels)


def _weights_given(weights: str | None) -> list[float] | Literal["auto"] | None:
    if weights is None or weights == "auto":
        return weights  # type: ignore[return-value]
    try:
        return [float(weight) for weight in weights.split(",")]
    except ValueError as error:
        raise AdapterError(f"--weights {weights}: expected numbers, such as --weights 0.3,0.7, or auto") from error


def _mended(cache: Cache, labels: Path | None) -> Cache:
    if labels is not None:
        cache = cache.relabelled(labels)
        assert cache.mended is not None
        tell(f"Labels of {cache.name}: {cache.mended.told}")
    return cache
