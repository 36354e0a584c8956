"""The application: `POST /predict`, `/healthz`, `/info`, `/openapi.json`, and the page."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from adapters.serving.batches import Batches, Busy
from adapters.serving.body import JSON, MULTIPART, Bodies, images_in
from adapters.serving.limits import Limits
from adapters.serving.page import CSS, HEADERS, HTML, JS
from adapters.serving.pixels import check_pixels
from featcache.encoding.given import Given
from featcache.errors import ImageError
from featcache.places.cores import cores_here
from featcache.version import package_version

if TYPE_CHECKING:
    from adapters.predicting.predictor import Prediction, Predictor

OPEN = {"/", "/page.css", "/page.js", "/healthz"}
"""What needs no token: it tells nothing of the head."""
GONE = 499
"""The client has closed the connection: nobody sees this status."""
_IMAGES = {
    "description": "One or more images.",
    "required": True,
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            }
        },
        JSON: {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {"images": {"type": "array", "items": {"type": "string", "format": "byte"}}},
            }
        },
    },
}


def application(predictor: Predictor, limits: Limits, *, token: str | None, hosts: list[str]) -> FastAPI:
    """What answers requests with a predictor.

    Args:
        predictor: who answers.
        limits: of requests.
        token: what requests must bring as `Authorization: Bearer`; None: nothing.
        hosts: names that it may be called by; `*` for any.
    """
    # The usual pages of FastAPI load scripts from elsewhere.
    settings: dict[str, Any] = {"docs_url": None, "redoc_url": None}
    app = FastAPI(title="featcache", version=package_version(), lifespan=lambda _: until_the_end(), **settings)
    batches, bodies = Batches(predictor, limits.waiting), Bodies(limits)
    decoding = ThreadPoolExecutor(cores_here(), thread_name_prefix="featcache-decode")

    @asynccontextmanager
    async def until_the_end() -> AsyncIterator[None]:
        yield
        decoding.shutdown(cancel_futures=True)
        batches.close()

    @app.middleware("http")
    async def guarded(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        if token is not None and request.url.path not in OPEN and not _bears(request, token):
            told = "a token is expected as `Authorization: Bearer TOKEN`"
            return JSONResponse({"detail": told}, 401, {**HEADERS, "www-authenticate": "Bearer"})
        answer = await call(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)

    @app.post("/predict", openapi_extra={"requestBody": _IMAGES}, responses=_REFUSALS)
    async def predict(request: Request, top_k: Annotated[int, Query(ge=1)] = 5) -> JSONResponse:
        """Classify images, in their order; what cannot be read has an `error`. 422 where none can."""
        try:
            async with bodies.read(request) as body:
                images = await images_in(request, body, limits)
                found = await _within(limits.seconds, _answered(images))
        except ClientDisconnect:
            return JSONResponse({"detail": "the client has gone"}, GONE)
        items = [_json(name, item, top_k) for (name, _), item in zip(images, found, strict=True)]
        unreadable = all(item["error"] for item in items)
        return JSONResponse({"run": predictor.name, "items": items}, 422 if unreadable else 200)

    async def _answered(images: list[tuple[str, bytes]]) -> list[Prediction]:
        loop = asyncio.get_running_loop()
        ready = await asyncio.gather(*(loop.run_in_executor(decoding, _ready, raw) for _, raw in images))
        try:
            return await batches.answer(ready)
        except Busy:
            raise HTTPException(503, "too many images are waiting: try again", {"retry-after": "1"}) from None

    def _ready(raw: bytes) -> Given:
        try:
            check_pixels(raw, limits.pixels)
        except ImageError as error:
            return Given("", error)
        return predictor.ready(raw)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether it answers."""
        return {"status": "ok"}

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Which head this is, and what a request may cost."""
        return {
            "run": predictor.name,
            "method": predictor.method,
            "model": predictor.model,
            "classes": list(predictor.class_names),
            "note": predictor.note,
            "batch_size": predictor.batch_size,
            "limits": limits.to_json(),
            "version": package_version(),
        }

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(HTML)

    @app.get("/page.css", include_in_schema=False)
    async def style() -> Response:
        return Response(CSS, media_type="text/css")

    @app.get("/page.js", include_in_schema=False)
    async def script() -> Response:
        return Response(JS, media_type="text/javascript")

    return app


_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No token, or another."},
    408: {"description": "The request has not arrived in time."},
    413: {"description": "Too many bytes or images."},
    415: {"description": "Neither a form nor JSON."},
    422: {"description": "Not images as they should be, or none that can be read."},
    503: {"description": "Too busy; or no answer in time."},
}


async def _within(seconds: float, answer: Awaitable[list[Prediction]]) -> list[Prediction]:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise HTTPException(503, f"no answer in {seconds:g} seconds: try again", {"retry-after": "1"}) from None


def _bears(request: Request, token: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
    return same and kind.lower() == "bearer"


def _json(name: str, item: Prediction, top_k: int) -> dict[str, Any]:
    content = asdict(replace(item, id=name, top=item.top[:top_k]))  # cut first: there may be thousands of classes
    del content["cache"], content["said"]  # features are not looked for there, and images not seen together
    return content
