from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from adapters.predicting.predictor import Predictor
from adapters.serving.body import Bodies
from adapters.serving.limits import Limits
from tests.adapters.serving.conftest import BOUNDARY, form

JSON = "application/json"


def as_json(*files: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(file).decode() for file in files]}).encode()


def bomb(side: int = 20_000) -> bytes:
    """A PNG of a few bytes that says it has very many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def files(pictures: list[Path]) -> list[bytes]:
    return [file.read_bytes() for file in pictures[:40]]


def test_answers_are_the_predictor_s(serving: Any, predictor: Predictor, files: list[bytes]) -> None:
    expected = [item.predicted for item in predictor.predict(files, workers=0)]
    server = serving()
    answer = server.predict(*files[:3])
    assert answer.status == 200
    assert [item["predicted"] for item in answer.content["items"]] == expected[:3]
    assert [item["id"] for item in answer.content["items"]] == ["0.png", "1.png", "2.png"]
    one = answer.content["items"][0]
    assert one.keys() == {"id", "predicted", "probability", "top", "set", "rejected", "error"}
    assert one["top"][0] == {"name": one["predicted"], "probability": one["probability"]}
    other = server.ask("/predict?top_k=1", as_json(*files[:3]), content_type=JSON)
    assert [len(item["top"]) for item in other.content["items"]] == [1, 1, 1]
    assert [item["probability"] for item in other.content["items"]] == [
        item["probability"] for item in answer.content["items"]
    ]


def test_requests_at_once_are_encoded_together(
    serving: Any, predictor: Predictor, files: list[bytes], monkeypatch: Any
) -> None:
    sizes: list[int] = []
    plain = Predictor.predict

    def slow(self: Predictor, images: Any, **how: Any) -> Any:
        sizes.append(len(images))
        time.sleep(0.2)
        return plain(self, images, **how)

    expected = [item.predicted for item in predictor.predict(files, workers=0)]
    monkeypatch.setattr(Predictor, "predict", slow)
    server = serving()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda file: server.predict(file).content["items"][0]["predicted"], files[:20]))
    assert found == expected[:20]
    assert len(sizes) < 12
    assert max(sizes) <= predictor.batch_size


def test_bad_images_have_an_error_and_422_where_none_can_be_read(serving: Any, files: list[bytes]) -> None:
    server = serving(pixels=10_000)
    answer = server.predict(files[0], b"nothing", bomb(), bomb(101), b"", files[0][:-30])
    assert answer.status == 200
    assert answer.content["items"][0]["error"] is None
    errors = [item["error"] for item in answer.content["items"][1:]]
    assert errors[0] == "not an image, or its header is damaged (7 bytes)"
    assert errors[2] == "has 101 x 101 pixels, expected at most 10,000 in all"
    assert all(errors)
    assert server.predict(bomb()).status == 422
    assert server.predict(files[0]).status == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
    [
        (b"{}", JSON, 422, "expected"),
        (b"[", JSON, 422, "expected"),
        (b'{"images": "aaaa"}', JSON, 422, "expected"),
        (b'{"images": ["?"]}', JSON, 422, "not base64"),
        (b'{"images": [1]}', JSON, 422, "expected"),
        (b'{"images": []}', JSON, 422, "no image was given"),
        (form(), f"multipart/form-data; boundary={BOUNDARY}", 422, ""),
        (b"garbage", f"multipart/form-data; boundary={BOUNDARY}", 422, ""),
        (form(b"x")[:-30], f"multipart/form-data; boundary={BOUNDARY}", 422, ""),
        (b"garbage", "multipart/form-data", 422, ""),
        (b"x", "text/plain", 415, "expected multipart/form-data or application/json"),
    ],
)
def test_what_is_no_request_is_told(serving: Any, body: bytes, kind: str, status: int, told: str) -> None:
    answer = serving().ask("/predict", body, content_type=kind)
    assert (answer.status, told in str(answer.content["detail"])) == (status, True), answer


def test_too_much_is_413(serving: Any, files: list[bytes]) -> None:
    server = serving(images=2, body=50_000)
    assert server.predict(*files[:2]).status == 200
    for too_many in (server.predict(*files[:3]), server.ask("/predict", as_json(*files[:3]), content_type=JSON)):
        assert too_many.status == 413
    answer = server.predict(b"x" * 60_000)
    assert answer.status == 413
    assert "more than 50,000 bytes" in answer.content["detail"]
    assert server.ask("/predict?top_k=0", as_json(files[0]), content_type=JSON).status == 422


def sent(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What is answered to bytes that are sent piece by piece."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
                time.sleep(pause)
            return line.recv(65536)
        except ConnectionError:
            return b""


def head(length: int | None) -> bytes:
    how = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    kind = f"content-type: multipart/form-data; boundary={BOUNDARY}"
    return f"POST /predict HTTP/1.1\r\nhost: localhost\r\n{kind}\r\n{how}\r\n\r\n".encode()


def test_a_bomb_100_mb_a_slow_client_and_a_truncated_upload_leave_it_standing(serving: Any, files: list[bytes]) -> None:
    server = serving(seconds=1.0)
    whole = form(files[0])
    assert server.predict(bomb()).status == 422
    assert b" 413 " in sent(server.port, head(100_000_000))  # refused by what it says, before it is read
    piece = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    answer = sent(server.port, head(None), *[piece] * 33, b"0\r\n\r\n")
    assert not answer or b" 413 " in answer  # the line may be cut while it is sent
    began = time.monotonic()
    assert b" 408 " in sent(server.port, head(len(whole)), whole[:50], pause=1.3)
    assert time.monotonic() - began < 10
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(head(len(whole)) + whole[: len(whole) // 2])
    assert server.predict(files[0]).status == 200
    assert server.ask("/healthz").content == {"status": "ok"}


def test_too_many_at_once_are_503(serving: Any, files: list[bytes], monkeypatch: Any) -> None:
    plain = Predictor.predict

    def slow(self: Predictor, images: Any, **how: Any) -> Any:
        time.sleep(0.5)
        return plain(self, images, **how)

    monkeypatch.setattr(Predictor, "predict", slow)
    server = serving(waiting=2, seconds=20)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.predict(files[0]), range(12)))
    found = {answer.status for answer in answers}
    assert found == {200, 503}
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status == 503)
    late = serving(seconds=0.2).predict(files[0])
    assert (late.status, "no answer in 0.2 seconds" in late.content["detail"]) == (503, True)
    full = serving(bodies=1000).predict(b"x" * 2000)
    assert (full.status, full.content["detail"]) == (503, "too many requests at once: try again")


def test_a_token_is_asked_for_all_but_the_page(serving: Callable[..., Any], files: list[bytes]) -> None:
    server = serving(token="sécret ☃")
    for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}, {"authorization": "Bearer"}):
        answer = server.predict(files[0], **given)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert server.ask("/info", **given).status == 401
    assert [server.ask(path).status for path in ("/", "/page.js", "/page.css", "/healthz")] == [200] * 4
    plain = serving(token="secret")
    assert plain.predict(files[0], authorization="Bearer secret").status == 200
    assert plain.predict(files[0], authorization="Basic secret").status == 401


def test_info_and_openapi_say_what_there_is(serving: Any, predictor: Predictor) -> None:
    server = serving(images=3)
    info = server.ask("/info").content
    assert info["run"] == predictor.name
    assert info["classes"] == list(predictor.class_names)
    assert info["limits"]["images"] == 3
    described = server.ask("/openapi.json").content["paths"]
    assert set(described) == {"/predict", "/healthz", "/info"}
    assert set(described["/predict"]["post"]["requestBody"]["content"]) == {"multipart/form-data", JSON}
    assert {"408", "413", "422", "503"} <= set(described["/predict"]["post"]["responses"])


def test_other_names_and_scripts_from_elsewhere_are_refused(serving: Any) -> None:
    server = serving()
    assert server.ask("/info", host="evil.example").status == 400
    page = server.ask("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.content.lower().replace("<!doctype html>", "")
    assert server.ask("/docs").status == 404


def test_what_a_body_takes_of_the_bound_is_given_back() -> None:
    class Asked:
        def __init__(self) -> None:
            self.headers: dict[str, str] = {}

        async def stream(self) -> AsyncIterator[bytes]:
            yield b"x" * 100

    async def one_after_the_other() -> None:
        bodies = Bodies(Limits(body=100, bodies=150))
        for _ in range(2):
            async with bodies.read(Asked()) as body:  # type: ignore[arg-type]
                assert len(body) == 100

    asyncio.run(one_after_the_other())
