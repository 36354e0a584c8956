"""An S3 server on loopback for tests: moto's, which answers some requests with a fault when asked to.

    python -m tests.s3_server [EVERY FAULT…] [--on "PUT writer.json"]

Prints its URL, then serves until it is killed. Of so many requests, or of those of that method and end of the name,
the first has a fault, of several in turn; but the making of a bucket. A fault is a status, or

    reset   the connection is closed before anything is done
    lost    what is asked for is done, and the connection closed before the answer
    cut     the answer is cut in its middle
    hang    there is no answer for longer than a client of the tests waits
"""

from __future__ import annotations

import argparse
import socket
import struct
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import Lock
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

PATIENCE = 1.0
"""Seconds; clients of the tests wait for less."""
CODES = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}


class Faults:
    """An S3 server with faults; `every` 0: never."""

    def __init__(self, app: Callable[..., Iterable[bytes]], every: int, faults: list[str], on: str) -> None:
        self.app, self.every, self.faults = app, every, faults
        self.method, _, self.name = on.partition(" ")
        self.count, self.lock = 0, Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        fault = self._fault(environ)
        if fault is None:
            return self.app(environ, start_response)
        if fault in ("lost", "cut"):
            told: list[Any] = []
            body = b"".join(self.app(environ, lambda *answer: told.extend(answer)))
            if fault == "lost" or not body:
                close(environ)
            start_response(told[0], told[1])
            return [body[: len(body) // 2]]
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault == "hang":
            time.sleep(PATIENCE)
        if fault in ("hang", "reset"):
            close(environ)
        status = HTTPStatus(int(fault))
        body = f"<?xml version='1.0'?><Error><Code>{CODES[status]}</Code><Message>asked for</Message></Error>".encode()
        start_response(f"{status.value} {status.phrase}", [("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _fault(self, environ: dict[str, Any]) -> str | None:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/")
        making = method == "PUT" and "/" not in path
        if not self.every or making or self.method not in ("", method) or not path.endswith(self.name):
            return None
        with self.lock:
            turn, left = divmod(self.count, self.every)
            self.count += 1
        return None if left else self.faults[turn % len(self.faults)]


def close(environ: dict[str, Any]) -> None:
    """Reset the client's connection."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise ConnectionResetError


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *words: Any) -> None:
        """Nothing."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("faults", nargs="*", default=["0"])
    parser.add_argument("--on", default="")
    options = parser.parse_args()
    every, *faults = options.faults
    app = Faults(DomainDispatcherApplication(create_backend_app), int(every), faults, options.on)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
