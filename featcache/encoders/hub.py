"""The Hugging Face hub, where open_clip gets its weights: how to fail at once where it cannot be reached."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse
from urllib.request import getproxies


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


def _resolves(host: str | None) -> bool:
    if {"https", "all"} & set(getproxies()):
        return True  # the proxy resolves names
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
