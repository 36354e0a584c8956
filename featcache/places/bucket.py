"""What is behind a URL: the objects below one prefix of a bucket. The only file that knows obstore.

Every answer of the store that is no answer is told in one line, without the request: its URL may hold a signature.
obstore does not survive a fork: what decodes images in forked processes must not come here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import obstore
import zarr
from obstore.exceptions import AlreadyExistsError, GenericError
from obstore.store import AzureStore, GCSStore, S3Store
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.storage import ObjectStore

from featcache.errors import CacheError, in_a_line

T = TypeVar("T")

SILENCE = timedelta(seconds=60)
"""How long a store may say nothing before a request is given up and tried again."""
TRIES = 6
"""Times that a request is tried again, each after a longer pause."""
PATIENCE = timedelta(minutes=2)
"""After so long from its first try a request is not tried again."""
FRESH = timedelta(minutes=10)
"""After so long credentials are looked up again; roles have short ones."""
PAUSES = (0.1, 1.0)
"""Seconds before what was not answered is asked for once more, where obstore does not try again by itself."""
AT_ONCE = 64
"""Requests under way of one array; Zarr's own 10 leaves a distant bucket idle."""

zarr.config.set({"async.concurrency": max(AT_ONCE, zarr.config.get("async.concurrency"))})

NO_BUCKET = "NoSuchBucket|ContainerNotFound"
NO_UPLOAD = "NoSuchUpload"
"""What a store says to the end of an upload that it had ended before, but its answer was lost."""


def store_at(location: str) -> Any:
    """The obstore store of a URL.

    Raises:
        CacheError: It is no URL of a store, or there are no credentials for it.
    """
    scheme, _, path = location.partition("://")
    bucket, _, prefix = path.partition("/")
    how: dict[str, Any] = {
        "prefix": prefix.strip("/") or None,
        "client_options": {
            "read_timeout": SILENCE,
            "connect_timeout": min(SILENCE, timedelta(seconds=10)),
            "timeout": 15 * SILENCE,  # of a whole request; a large shard may take its time
            "allow_http": True,  # where an endpoint is given as http://
        },
        "retry_config": {"max_retries": TRIES, "retry_timeout": PATIENCE},
    }
    if scheme == "s3":
        return S3Store(bucket, **_aws(location), **how)
    return GCSStore(bucket, **how) if scheme == "gs" else AzureStore(bucket, **how)


def _aws(location: str) -> dict[str, Any]:
    """Region and credentials as every AWS tool finds them: variables, profiles, single sign-on, roles of a machine."""
    import botocore.session
    from botocore.exceptions import BotoCoreError

    session = botocore.session.get_session()

    def credentials() -> dict[str, Any]:
        found = session.get_credentials()
        if found is None:
            raise CacheError(_unreached(location, "there are no credentials"))
        key, secret, token = found.get_frozen_credentials()[:3]
        expires = datetime.now(UTC) + FRESH
        return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": expires}

    try:
        credentials()  # what is wrong with them is said now, and in a line
        region = session.get_config_variable("region")
    except BotoCoreError as error:
        raise CacheError(_unreached(location, in_a_line(error))) from None
    return {"credential_provider": credentials, **({"region": region} if region else {})}


def _unreached(location: str, reason: str) -> str:
    advice = "check the credentials, the region, and that there is such a bucket"
    return f"{location} cannot be reached: {reason}; {advice}"


def _reason(error: Exception) -> str:
    """What a store said, in a few words: never the request, nor what else it sent."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    status = re.search(r"status code: (\d+ [A-Za-z ]+)", first)
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    if status:
        return status[1].strip() + (f" ({code[1]})" if code else "")
    words = re.sub(r"(https?://|for url)\S*", "", first.rpartition(" - ")[2])
    return " ".join(words.split())


class _Unanswered(CacheError):  # noqa: N818
    """No answer came, or half of one."""


@contextmanager
def _reached(location: str) -> Iterator[None]:
    """Tell in a line whatever a store raises but that there is, or is not, such an object."""
    try:
        yield
    except CacheError:
        raise
    except Exception as error:
        text = str(error)
        missing = isinstance(error, FileNotFoundError) and not re.search(f"{NO_BUCKET}|{NO_UPLOAD}", text)
        if missing or isinstance(error, AlreadyExistsError):
            raise
        unanswered = NO_UPLOAD in text or (isinstance(error, GenericError) and "status code" not in text)
        raise (_Unanswered if unanswered else CacheError)(_unreached(location, _reason(error))) from None


async def _answer(location: str, ask: Callable[[], Awaitable[T]]) -> T:
    """What a store answers; obstore itself asks again after a 500 or a 503, but not always after a broken connection.

    To ask again changes nothing: all that is asked for here may be done twice.
    """
    for pause in PAUSES:
        try:
            with _reached(location):
                return await ask()
        except _Unanswered:
            await asyncio.sleep(pause)
    with _reached(location):
        return await ask()


class Bucket:
    """Objects below one URL; a name is relative to it. An object is written whole or not at all."""

    def __init__(self, location: str) -> None:
        self._location = location
        with _reached(location):
            self._store = store_at(location)

    def arrays(self, *, read_only: bool) -> ObjectStore[Any]:
        """What Zarr opens."""
        return _Arrays(self._store, self._location, read_only=read_only)

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name."""
        try:
            self._asked(lambda: obstore.head_async(self._store, name))
        except FileNotFoundError:
            return False
        return True

    def names(self, subfolder: str) -> list[str]:
        """The names in a subfolder, in no order; none if there is no such folder."""
        prefix = f"{subfolder}/" if subfolder else None
        found = self._asked(lambda: obstore.list_with_delimiter_async(self._store, prefix))
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return [path.rstrip("/").rpartition("/")[2] for path in paths]

    def files(self, subfolder: str) -> list[str]:
        """The objects in a subfolder and below, in no order."""
        prefix = f"{subfolder}/" if subfolder else None
        return [entry["path"] for entry in self._asked(lambda: obstore.list(self._store, prefix).collect_async())]

    def read(self, name: str) -> bytes:
        """The content of an object.

        Raises:
            FileNotFoundError: There is no such object.
        """

        async def whole() -> bytes:
            return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

        return self._asked(whole)

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        self._asked(lambda: obstore.put_async(self._store, name, content))

    def create(self, name: str, content: bytes) -> bool:
        """Write an object if there is none of that name; returns whether there was none.

        The store decides, so that of two that ask together one is told so. An answer may be lost on its way: what is
        there with this very content was written by this call.
        """
        try:
            self._asked(lambda: obstore.put_async(self._store, name, content, mode="create"))
        except AlreadyExistsError:
            with suppress(FileNotFoundError):
                return self.read(name) == content
            return False
        return True

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; nothing happens where there is none."""
        if isinstance(self._store, S3Store):  # in one request, and what is not there is no error
            self._asked(lambda: obstore.delete_async(self._store, names))
            return
        for name in names:
            with suppress(FileNotFoundError):
                self._asked(partial(obstore.delete_async, self._store, name))

    def remove_folder(self, name: str) -> None:
        """Remove all objects below a name; nothing happens if there is none."""
        if found := self.files(name):
            self.remove(found)

    def remove_partial_files(self) -> None:
        """Nothing: no object is ever partial."""

    def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        # By Zarr's loop in a thread of its own, so that this one can be interrupted while a store is silent.
        return sync(_answer(self._location, ask))


class _Arrays(ObjectStore[Any]):
    """Zarr's store, whose errors are told as those of `Bucket`, so that they do not pass for damage."""

    def __init__(self, store: Any, location: str, *, read_only: bool = False) -> None:
        super().__init__(store, read_only=read_only)
        self._location = location

    def __str__(self) -> str:
        return self._location

    def with_read_only(self, read_only: bool = False) -> _Arrays:
        return _Arrays(self.store, self._location, read_only=read_only)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        ask = partial(super().get, key, prototype, byte_range)
        return await _answer(self._location, ask)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        ask = partial(super().get_partial_values, prototype, key_ranges)
        return await _answer(self._location, ask)

    async def exists(self, key: str) -> bool:
        ask = partial(super().exists, key)
        return await _answer(self._location, ask)

    async def set(self, key: str, value: Buffer) -> None:
        ask = partial(super().set, key, value)
        return await _answer(self._location, ask)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        ask = partial(super().set_if_not_exists, key, value)
        return await _answer(self._location, ask)

    async def delete(self, key: str) -> None:
        ask = partial(super().delete, key)
        return await _answer(self._location, ask)

    async def delete_dir(self, prefix: str) -> None:
        ask = partial(super().delete_dir, prefix)
        return await _answer(self._location, ask)

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        with _reached(self._location):
            async for name in super().list_dir(prefix):
                yield name
