"""The Hugging Face hub, where weights, data sets and heads come from and heads go: its only door."""

from __future__ import annotations

import re
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


HEAD = "hf://"
"""How the address of a head on the hub begins: hf://owner/name, or hf://owner/name@REVISION."""


def is_on_hub(location: str | Path) -> bool:
    """Whether it is the address of a head on the hub."""
    return str(location).startswith(HEAD)


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
    return _download("dataset", "data set", name, revision, patterns, local_only=local_only)


def download_head(location: str, files: Sequence[str]) -> Path:
    """Those files of a head at `hf://owner/name[@revision]`, and no other; see `download_dataset`.

    Raises:
        DataError: It is no address, or cannot be had.
    """
    name, _, revision = location.removeprefix(HEAD).partition("@")
    _check_repository(name)
    return _download("model", "head", name, revision or None, files)


def upload_head(folder: Path, name: str, *, private: bool) -> str:
    """Put all files of a folder into the repository `owner/name`, which is made if need be.

    Args:
        folder: What is sent.
        name: `owner/name`.
        private: Make it for its owner alone; one that is there and open is refused.

    Returns:
        Its page.

    Raises:
        DataError: Nobody is logged in, the repository belongs to others, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, errors

    _check_repository(name)
    client = HfApi()
    try:
        with offline_at_once():
            page = client.create_repo(name, repo_type="model", private=private or None, exist_ok=True)
            if private and not client.model_info(name).private:
                raise DataError(f"{name} is there and open to all: make it private on its page, or give another name")
            client.upload_folder(repo_id=name, folder_path=folder, commit_message="Add a head fitted by featcache")
    except errors.HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            raise DataError(f"the hub does not let you write to {name}: `hf auth login`, or set HF_TOKEN") from error
        raise DataError(f"{name} cannot be written on the hub: {_reason(error)}") from error
    except (OSError, RuntimeError, errors.LocalTokenNotFoundError) as error:
        raise DataError(f"{name} cannot be written on the hub: {_reason(error)}") from error
    return str(page)


def _check_repository(name: str) -> None:
    """Refuse what the hub's client would take for a name, or not, by its own rules."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name, re.ASCII):
        raise DataError(f"{name!r} is no repository of the hub: expected owner/name")


def _download(
    kind: str,
    called: str,
    name: str,
    revision: str | None,
    patterns: Sequence[str] | None,
    *,
    local_only: bool = False,
) -> Path:
    from huggingface_hub import errors, snapshot_download

    what = f"{called} {name} on the hub"
    try:
        with offline_at_once():
            found = snapshot_download(
                name,
                repo_type=kind,
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
        raise DataError(f"the {what} cannot be had: {_reason(error)}") from error
    return Path(found)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


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
