"""Where caches, runs and downloaded data sets live, and how to find one by name."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from featcache.errors import CacheError
from featcache.places.folder import check_url, is_url, join, like_url, local_path

DEFAULT_HOME = "~/.cache/featcache"


def resolve_root(root: str | Path | None = None) -> str:
    """The root: `root`, or `$FEATCACHE_HOME`, or `~/.cache/featcache`; a path made absolute, or a URL as it is.

    Raises:
        CacheError: It is a URL that cannot be used, or a file.
    """
    chosen = str(root or os.environ.get("FEATCACHE_HOME") or DEFAULT_HOME)
    if like_url(chosen):
        check_url(chosen)
        return chosen.rstrip("/")
    path = local_path(chosen).resolve()
    if path.is_file():
        given = "--root" if root else "FEATCACHE_HOME"
        raise CacheError(f"{path} is a file, and the root that {given} names must be a folder: give another")
    return str(path)


def caches_location(root: str | Path | None = None) -> str:
    """The folder (or URL) that holds the caches, one subfolder each."""
    return join(resolve_root(root), "caches")


def local_home(root: str | Path | None = None) -> Path:
    """A folder on this machine for what cannot live behind a URL: the root itself unless it is one, else the home."""
    resolved = resolve_root(root)
    if not is_url(resolved):
        return Path(resolved)
    home = os.environ.get("FEATCACHE_HOME") or DEFAULT_HOME
    return local_path(DEFAULT_HOME if is_url(home) else home).resolve()


def runs_folder(root: str | Path | None = None) -> Path:
    """Where `adapters fit` saves heads unless told otherwise; of a root behind a URL the copies on this machine."""
    resolved = resolve_root(root)
    if not is_url(resolved):
        return Path(resolved) / "runs"
    return local_home(root) / "copies" / quote(resolved, safe="") / "runs"


def datasets_folder(root: str | Path | None = None) -> Path:
    """Where data sets are downloaded to unless `--data-root` says otherwise."""
    return local_home(root) / "datasets"
