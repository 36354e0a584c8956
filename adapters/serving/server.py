"""A server of one process, from its socket to its end."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from adapters.errors import AdapterError
from adapters.serving.app import application
from adapters.serving.heads_in_time import heads_in_time
from adapters.serving.limits import Limits

if TYPE_CHECKING:
    from adapters.predicting.predictor import Predictor

TOKEN = "FEATCACHE_TOKEN"
"""The variable of the environment that holds the token."""
LAST_ANSWERS = 5
"""Seconds that requests have to be answered in when the server is told to end."""
NAMES_OF_HERE = ["localhost", "127.0.0.1", "[::1]", "::1"]


def listen(host: str, port: int) -> socket.socket:
    """A socket, before anything is loaded.

    Args:
        host: an address or a name of this machine.
        port: 0 for one that is free.

    Raises:
        AdapterError: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AdapterError(f"cannot listen at {host}, port {port} ({reason}): give another --host or --port") from error
    return listening


def configured(app: Any, limits: Limits) -> uvicorn.Config:
    """How uvicorn serves an application."""
    return uvicorn.Config(
        app,
        http=heads_in_time(limits.head),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=LAST_ANSWERS,
        lifespan="on",
    )


def serve(predictor: Predictor, listening: socket.socket, limits: Limits, *, tell: Callable[[str], None]) -> None:
    """Answer requests until a signal comes, which is then sent again to whoever heard it before.

    Args:
        predictor: who answers.
        listening: where.
        limits: of requests.
        tell: shows a line.
    """
    host, port = listening.getsockname()[:2]
    here, token = ipaddress.ip_address(host).is_loopback, os.environ.get(TOKEN) or None
    if not here and token is None:
        tell(f"Whoever reaches this machine may use it: set {TOKEN} to ask for a token")
    # Only under its own names: a page from elsewhere could else reach it under a name that leads here.
    app = application(predictor, limits, token=token, hosts=NAMES_OF_HERE if here else ["*"])
    config = configured(app, limits)
    listening.listen(config.backlog)  # who reads the line below may connect
    name = f"[{host}]" if ":" in host else host
    tell(f"Serving {predictor.name} at http://{name}:{port}/ (Ctrl-C ends it)")
    uvicorn.Server(config).run(sockets=[listening])
