"""An S3 server on loopback for tests: moto's, which answers some requests with a fault when asked to.

    python -m tests.s3_server [EVERY STATUS…]

Prints its URL, then serves until it is killed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import Lock
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Faults:
    """Every so many requests, an error instead of an answer, of several in turn; 0: never."""

    def __init__(self, app: Callable[..., Iterable[bytes]], every: int, statuses: list[int]) -> None:
        self.app, self.every, self.statuses = app, every, [HTTPStatus(status) for status in statuses]
        self.count, self.lock = 0, Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self.lock:
            self.count += 1
            count = self.count
            fault = self.every and count % self.every == 0 and count > 1  # the first makes the bucket
        if not fault:
            return self.app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status = self.statuses[count // self.every % len(self.statuses)]
        code = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}[status.value]
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>asked for</Message></Error>".encode()
        start_response(f"{status.value} {status.phrase}", [("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *words: Any) -> None:
        """Nothing."""


def main() -> None:
    """Serve until killed."""
    every, *statuses = map(int, sys.argv[1:] or [0])
    app = Faults(DomainDispatcherApplication(create_backend_app), every, statuses)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
