"""A Hugging Face hub on loopback for tests: data sets and models that are folders of this machine, one commit each."""

from __future__ import annotations

import base64
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
TOKEN = "hf_of_a_test_and_never_to_be_printed"


class Hub(BaseHTTPRequestHandler):
    """Answers what the hub's client asks: a repository's commit, its files, and a file; takes a model's files.

    Each request is noted. Who writes has to send `TOKEN`.
    """

    folders: dict[str, Path]
    models: dict[str, Path]
    new: Path
    """Where models that are made are kept."""
    private: set[str]
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
        listed = [(name, folder, "datasets", f"/datasets/{name}") for name, folder in self.folders.items()]
        listed += [(name, folder, "models", f"/{name}") for name, folder in self.models.items()]
        for name, folder, kind, place in listed:
            api, files = f"/api/{kind}/{name}/", f"{place}/resolve/{COMMIT}/"
            if path.startswith(files) and (folder / path.removeprefix(files)).is_file():
                return self._send((folder / path.removeprefix(files)).read_bytes(), body=body)
            what, _, revision = path.removeprefix(api).partition("/")
            if path == api.rstrip("/"):
                return self._send(self._info(name), body=body)
            if path.startswith(api) and revision not in REVISIONS:
                return self._refuse("RevisionNotFound")
            if path.startswith(api):
                told = self._info(name) if what == "revision" else json.dumps(_tree(folder)).encode()
                return self._send(told, body=body)
        return self._refuse("GatedRepo" if "gated" in path else "RepoNotFound")

    def do_POST(self) -> None:
        """Make a model, say how its files are to be sent, and take them."""
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if path == "/api/validate-yaml":
            return self._send(b'{"errors": [], "warnings": []}')
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse("", status=401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.models:
                return self._send(json.dumps({"url": self._url(name)}).encode(), status=409)
            self.models[name] = self.new / name
            self.models[name].mkdir(parents=True)
            self.private.update([name] if asked.get("private") or asked.get("visibility") == "private" else [])
            return self._send(json.dumps({"url": self._url(name)}).encode())
        name = next(each for each in self.models if f"/{each}/" in path or f"/{each}.git/" in path)
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [
                {"path": each["path"], "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular"}
                for each in files
            ]
            return self._send(json.dumps({"files": [{**each, "shouldIgnore": False} for each in modes]}).encode())
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            told = [
                {**each, "actions": {"upload": {"href": self._url(f"lfs/{each['oid']}")}}, "authenticated": True}
                for each in objects
            ]
            return self._send(json.dumps({"transfer": "basic", "objects": told}).encode())
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                (self.models[name] / line["value"]["path"]).write_bytes(base64.b64decode(line["value"]["content"]))
            elif line["key"] == "lfsFile":
                (self.models[name] / line["value"]["path"]).write_bytes((self.new / line["value"]["oid"]).read_bytes())
        commit = {"success": True, "commitOid": COMMIT, "commitUrl": self._url(f"{name}/commit/{COMMIT}")}
        return self._send(json.dumps({**commit, "hookOutput": ""}).encode())

    def do_PUT(self) -> None:
        """Take a large file, by its digest."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        (self.new / self.path.rsplit("/", 1)[-1]).write_bytes(content)
        self._send(b"")

    def _url(self, path: str) -> str:
        return f"http://{self.headers['Host']}/{path}"

    def _info(self, name: str) -> bytes:
        told = {"id": name, "sha": COMMIT, "private": name in self.private, "tags": [], "downloads": 0, "likes": 0}
        return json.dumps({**told, "siblings": []}).encode()

    def _send(self, content: bytes, *, body: bool = True, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _refuse(self, code: str, *, status: int = 404) -> None:
        self.send_response(403 if code == "GatedRepo" else status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        """Nothing."""


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
def hub_of(
    folders: dict[str, Path], models: dict[str, Path] | None = None, new: Path | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Serve these data sets and models; yields the URL, and the paths that were asked for.

    Args:
        folders: data sets by name.
        models: models by name; those that are made are added.
        new: where these are kept.
    """
    known = {"folders": folders, "models": {} if models is None else models, "new": new}
    handler = type("HubOf", (Hub,), {**known, "private": set(), "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
