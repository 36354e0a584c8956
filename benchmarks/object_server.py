"""A plain object store on loopback that speaks as much of S3's XML, and Google's, as a cache needs, fast.

    python -m benchmarks.object_server [MILLISECONDS]

Prints its URL, then serves one bucket from memory until it is killed. `moto` serves about 300 requests a second; this
serves thousands, so that what is measured is the client. Every answer waits for so many milliseconds, as those of real
buckets do. `GET /?counts` gives how often each kind of request came since it was last asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 404: "Not Found", 412: "Precondition Failed"}
PAGE = 1000
"""Names in one answer to a listing."""
STAMP = "Thu, 01 Jan 2026 00:00:00 GMT"


class Objects:
    """The objects of one bucket and the parts of those that are not whole yet."""

    def __init__(self) -> None:
        self.whole: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.counts: Counter[str] = Counter()

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if "counts" in query:
            counted, self.counts = self.counts, Counter()
            return 200, {}, json.dumps(counted).encode()
        key = unquote(url.path).lstrip("/").partition("/")[2]
        kind = "LIST" if method == "GET" and not key else method
        self.counts[kind] += 1
        if kind == "LIST":
            return 200, {"content-type": "application/xml"}, self._list(query).encode()
        if kind in ("GET", "HEAD"):
            return self._get(key, headers.get("range"))
        if kind == "PUT":
            return self._put(key, query, headers, body)
        if kind == "DELETE":
            found = self.whole.pop(key, None)
            return (204 if found is not None else 404), {}, b""
        return 200, {"content-type": "application/xml"}, self._post(key, query, body).encode()

    def _get(self, key: str, span: str | None) -> tuple[int, dict[str, str], bytes]:
        if key not in self.whole:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        content = self.whole[key]
        tag = {"etag": f'"{len(content)}"', "last-modified": STAMP, "accept-ranges": "bytes"}
        if span is None:
            return 200, tag, content
        first, last = span.removeprefix("bytes=").split("-")
        start = int(first) if first else max(len(content) - int(last), 0)
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        tag["content-range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return 206, tag, content[start:stop]

    def _put(
        self, key: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        create = headers.get("if-none-match") == "*" or headers.get("x-goog-if-generation-match") == "0"
        if create and key in self.whole:
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        if "uploadId" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = body
        elif key:
            self.whole[key] = body
        return 200, {"etag": f'"{len(body)}"'}, b""

    def _post(self, key: str, query: dict[str, str], body: bytes) -> str:
        if "uploads" in query:
            upload = hashlib.sha256(f"{key}{len(self.parts)}".encode()).hexdigest()
            self.parts[upload] = {}
            name = "InitiateMultipartUploadResult"
            return f"<{name}><Bucket>b</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId></{name}>"
        if "uploadId" in query:
            parts = self.parts.pop(query["uploadId"])
            self.whole[key] = b"".join(parts[number] for number in sorted(parts))
            name = "CompleteMultipartUploadResult"
            return f'<{name}><Bucket>b</Bucket><Key>{escape(key)}</Key><ETag>"1"</ETag></{name}>'
        gone = [node.text or "" for node in ElementTree.fromstring(body).iter() if node.tag.endswith("Key")]
        for name in gone:
            self.whole.pop(name, None)
        told = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in gone)
        return f"<DeleteResult>{told}</DeleteResult>"

    def _list(self, query: dict[str, str]) -> str:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token", query.get("start-after", ""))
        found: dict[str, int | None] = {}
        for key in sorted(key for key in self.whole if key.startswith(prefix)):
            if delimiter and delimiter in key[len(prefix) :]:
                found[prefix + key[len(prefix) :].split(delimiter)[0] + delimiter] = None
            else:
                found[key] = len(self.whole[key])
        left = [(key, size) for key, size in found.items() if key > after]
        page = "".join(
            f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>"
            if size is None
            else f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{size}"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>'
            for key, size in left[:PAGE]
        )
        more = f"<NextContinuationToken>{escape(left[PAGE - 1][0])}</NextContinuationToken>" if left[PAGE:] else ""
        head = f"<Name>b</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(left[:PAGE])}</KeyCount>"
        cut = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
        return f"<ListBucketResult>{head}<MaxKeys>{PAGE}</MaxKeys>{cut}{more}{page}</ListBucketResult>"


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another."""

    def __init__(self, objects: Objects, latency: float) -> None:
        self.objects, self.latency = objects, latency
        self.received: list[bytes] = []
        self.wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it for the answers."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when a request is whole."""
        self.received.append(data)
        self.wanted -= len(data)
        if self.wanted > 0:
            return
        content = b"".join(self.received)
        self.received, (head, found, rest) = [content], content.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.wanted = int(headers.get("content-length", "0")) - len(rest)
        if headers.get("expect") and not rest and self.wanted > 0:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.wanted > 0:
            return
        self.received, self.wanted = [], 0
        method, target, _ = first.split(" ", 2)
        asyncio.get_running_loop().call_later(self.latency, self._answer, method, target, headers, rest)

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        status, told, content = self.objects.answer(method, target, headers, body)
        told = {"content-length": str(len(content)), **told}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.transport.write(f"HTTP/1.1 {status} {REASONS[status]}\r\n{lines}\r\n".encode())
        if method != "HEAD" and content:
            self.transport.write(content)


async def serve(latency: float) -> None:
    """Serve until killed; latency in seconds."""
    objects = Objects()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(objects, latency), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float((sys.argv[1:] or ["0"])[0]) / 1000))
