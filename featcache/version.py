"""Which featcache this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The installed version of featcache."""
    try:
        return version("featcache")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
