"""Which featcache this is."""

from __future__ import annotations


def package_version() -> str:
    """The installed version of featcache."""
    from importlib.metadata import PackageNotFoundError, version  # as slow as all of `--help`

    try:
        return version("featcache")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
