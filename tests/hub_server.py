"""A Hugging Face hub on loopback for tests: data sets that are folders of this machine, one commit each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
REVISIONS = ("main", COMMIT)


class Hub(BaseHTTPRequestHandler):
    """Answers what the hub's client asks: a data set's commit, its files, and a file; each request is noted."""

    folders: dict[str, Path]
    asked: list[str]

    def do_HEAD(self) -> None:
        """A file's size and digest."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """The same with the content."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        for name, folder in self.folders.items():
            api, files = f"/api/datasets/{name}/", f"/datasets/{name}/resolve/{COMMIT}/"
            if path.startswith(files) and (folder / path.removeprefix(files)).is_file():
                return self._send((folder / path.removeprefix(files)).read_bytes(), body=body)
            what, _, revision = path.removeprefix(api).partition("/")
            if path.startswith(api) and revision not in REVISIONS:
                return self._refuse("RevisionNotFound")
            if path.startswith(api):
                return self._send(json.dumps(_info(name) if what == "revision" else _tree(folder)).encode(), body=body)
        return self._refuse("GatedRepo" if "gated" in path else "RepoNotFound")

    def _send(self, content: bytes, *, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _refuse(self, code: str) -> None:
        self.send_response(403 if code == "GatedRepo" else 404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        """Nothing."""


def _info(name: str) -> dict[str, Any]:
    return {"id": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "likes": 0, "siblings": []}


def _tree(folder: Path) -> list[dict[str, Any]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        {
            "type": "file",
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]


@contextmanager
def hub_of(folders: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve these data sets; yields the URL, and the paths that were asked for."""
    handler = type("HubOf", (Hub,), {"folders": folders, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
