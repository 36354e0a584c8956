"""From a request to images: its body within bounds, and what it holds."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from adapters.serving.limits import Limits
from featcache.records import Malformed, parse_json

MULTIPART, JSON = "multipart/form-data", "application/json"
FIELDS = 16
"""Fields of a form beside its files, at most; they are not looked at."""


class Bodies:
    """The memory that bodies take together.

    Args:
        limits: of a request, and of all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self._held = limits, 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """A request's body, which counts while the context lasts.

        Raises:
            HTTPException: it is too large (413), too slow (408), or there are too many (503).
        """
        limits, said = self._limits, request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > limits.body:
            raise _too_large(limits)
        with self._counted() as count:
            body = bytearray()
            try:
                async with asyncio.timeout(limits.seconds):
                    async for piece in request.stream():
                        if len(body) + len(piece) > limits.body:
                            raise _too_large(limits)
                        count(len(piece))
                        body += piece
            except TimeoutError:
                message = f"the request has not arrived in {limits.seconds:g} seconds"
                raise HTTPException(408, message, CLOSES) from None
            yield bytes(body)

    @contextmanager
    def _counted(self) -> Iterator[Any]:
        own = 0

        def count(more: int) -> None:
            nonlocal own
            if self._held + more > self._limits.bodies:
                raise HTTPException(503, "too many requests at once: try again", {**CLOSES, "retry-after": "1"})
            self._held += more
            own += more

        try:
            yield count
        finally:
            self._held -= own


CLOSES = {"connection": "close"}
"""What is not read of a body would be taken for the next request."""


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"the request has more than {limits.body:,} bytes: send fewer or smaller images", CLOSES)


async def images_in(request: Request, body: bytes, limits: Limits) -> list[tuple[str, bytes]]:
    """The name and the bytes of each image of a request; of what has no name, its place.

    Raises:
        HTTPException: it is of another kind (415), does not hold images as it should (422), or too many (413).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == MULTIPART:
        found = await _of_form(request, body, limits)
    elif kind == JSON:
        found = _of_json(body)
    else:
        raise HTTPException(415, f"content-type is {kind or 'not given'}, expected {MULTIPART} or {JSON}")
    if not found:
        raise HTTPException(422, "no image was given, expected one or more")
    if len(found) > limits.images:
        raise HTTPException(413, f"{len(found)} images were given, expected at most {limits.images}")
    return [(name or str(place), raw) for place, (name, raw) in enumerate(found)]


async def _of_form(request: Request, body: bytes, limits: Limits) -> list[tuple[str, bytes]]:
    async def replay() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        async with Request(request.scope, replay).form(max_files=limits.images + 1, max_fields=FIELDS) as form:
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            return [(part.filename or "", await part.read()) for part in files]
    except ClientDisconnect:
        raise
    except HTTPException as error:  # the form is damaged, or has more parts than that
        raise HTTPException(413 if "Too many" in error.detail else 422, error.detail) from error


def _of_json(body: bytes) -> list[tuple[str, bytes]]:
    expected = 'expected {"images": [base64, …]}'
    try:
        images = parse_json(body)["images"]
        if not isinstance(images, list):
            raise TypeError
        return [("", base64.b64decode(image, validate=True)) for image in images]
    except (Malformed, KeyError, TypeError) as error:
        raise HTTPException(422, f"the body is something else, {expected}") from error
    except (binascii.Error, ValueError) as error:
        raise HTTPException(422, f"an image is not base64 ({error}), {expected}") from error
