"""A server of the embedded model, in a thread of this process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
import uvicorn

import featcache
from adapters.fitting.fit import fit
from adapters.predicting.predictor import Predictor
from adapters.serving.app import application
from adapters.serving.limits import Limits
from adapters.serving.server import NAMES_OF_HERE, configured, listen
from tests.pictures import draw_class_folders

BOUNDARY = "b0undary"


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    content: Any


class Server:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, body: bytes | None = None, method: str = "", **headers: str) -> Answered:
        """A request, and what came back."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), path, body, named)
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, found, json.loads(text) if is_json else text.decode())

    def predict(self, *files: bytes, query: str = "", **headers: str) -> Answered:
        """Images as a form."""
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        return self.ask(f"/predict{query}", form(*files), content_type=kind, **headers)


def form(*files: bytes) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="images"; filename="{place}.png"\r\n\r\n'.encode()
        + content + b"\r\n"
        for place, content in enumerate(files)
    ]  # fmt: skip
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = draw_class_folders(tmp_path_factory.mktemp("serving") / "photos", classes=3, per_class=20, seed=0)
    return sorted(folder.rglob("*.png"))


@pytest.fixture(scope="session")
def run(pictures: list[Path]) -> str:
    """A saved run."""
    photos = pictures[0].parents[1]
    asked: dict[str, Any] = {"root": photos.parent, "workers": 0, "progress": False, "device": "cpu"}
    cache = featcache.extract("tiny", str(photos), **asked)
    return fit("tip", cache=cache, shots=2, out=photos.parent / "run", device="cpu").run


@pytest.fixture(scope="session")
def predictor(run: str) -> Predictor:
    return Predictor.load(run, device="cpu", reuse=False)


@pytest.fixture
def serving(predictor: Predictor) -> Iterator[Callable[..., Server]]:
    """Starts a server with these limits."""
    with ExitStack() as running:

        def start(token: str | None = None, **limits: Any) -> Server:
            bounds = Limits(**limits)
            app = application(predictor, bounds, token=token, hosts=NAMES_OF_HERE)
            listening = running.enter_context(listen("127.0.0.1", 0))
            server = uvicorn.Server(configured(app, bounds))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join(30)
                assert not thread.is_alive()

            running.callback(stop)
            while not server.started:
                time.sleep(0.01)
            return Server(listening.getsockname()[1])

        yield start
