"""The Hugging Face hub, where weights and data sets come from: how to fail at once where it cannot be reached."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from featcache.errors import DataError


@contextmanager
def offline_at_once() -> Iterator[None]:
    """Where the hub's name does not resolve, use only what is already downloaded.

    The hub's client would retry each file for some 20 seconds, and open_clip asks for two.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _resolves(urlparse(constants.ENDPOINT).hostname)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def download_dataset(
    name: str, revision: str | None, patterns: Sequence[str] | None, *, local_only: bool = False
) -> Path:
    """Those files of a data set on the hub that match patterns (None: all), in the cache of the hub's own client.

    Files that are there are not downloaded again, and all is found there where the hub cannot be reached.

    Args:
        name: `owner/name`.
        revision: A branch, tag or commit; None: the main branch.
        patterns: Of paths; a star also stands for folders.
        local_only: Download nothing.

    Returns:
        The folder, which is called as the commit.

    Raises:
        DataError: There is no such data set or revision, it is not open to this user, or cannot be reached.
    """
    from huggingface_hub import errors, snapshot_download

    what = f"data set {name} on the hub"
    try:
        with offline_at_once():
            found = snapshot_download(
                name,
                repo_type="dataset",
                revision=revision,
                allow_patterns=None if patterns is None else list(patterns),
                local_files_only=local_only,
            )
    except errors.GatedRepoError as error:
        raise DataError(f"the {what} is given to those who ask on its page: ask there, then `hf auth login`") from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(f"no {what}: mend the name, or `hf auth login` if it is private") from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"the {what} has no revision {revision}: leave it out, or choose one from its page") from error
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the {what} cannot be had: {reason}") from error
    return Path(found)


def dataset_card(folder: Path) -> Mapping[str, Any]:
    """What the head of a downloaded data set's README.md says of it; nothing where there is none."""
    from huggingface_hub import metadata_load

    return (metadata_load(folder / "README.md") if (folder / "README.md").exists() else None) or {}


def _resolves(host: str | None) -> bool:
    if {"https", "all"} & set(getproxies()):
        return True  # the proxy resolves names
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
