"""A cache in a bucket: the same work by obstore and by s3fs, and plain concurrent GETs of the same objects.

    python -m benchmarks.remote [--libraries obstore s3fs] [--latency 0 20] [--rows 100000] [--shards 32768 2048]

One server process on loopback (`benchmarks/object_server.py`) answers after so many milliseconds. Written, proven,
listed and loaded is a cache of random embeddings, with three splits. Seconds and, in brackets, requests; those of
loading, and of the plain GETs that obstore makes of the objects that loading reads, are the least of several.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import numpy as np
import obstore
import zarr
from fsspec.asyn import sync

from benchmarks.made_up import manifest
from benchmarks.timing import timed
from featcache.cache import layout
from featcache.cache.catalogue import list_caches
from featcache.cache.layout import IDS, IMAGES, LABELS, STATE
from featcache.cache.reading import Cache
from featcache.cache.writing import CacheStore, ShardResult
from featcache.places.bucket import Bucket, store_at
from featcache.places.folder import Folder, join
from featcache.utc import now

ROOT = "s3://bucket/root"
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


class ByS3fs(Bucket):
    """What `Bucket` is, by s3fs."""

    def __init__(self, location: str) -> None:
        import s3fs

        self._location, self._base = location, location.removeprefix("s3://")
        how = {"use_listings_cache": False, "skip_instance_cache": True}
        self._fs, self._of_zarr = s3fs.S3FileSystem(**how), s3fs.S3FileSystem(**how, asynchronous=True)

    def arrays(self, *, read_only: bool) -> Any:
        """What Zarr opens."""
        return zarr.storage.FsspecStore(self._of_zarr, path=self._base)

    def names(self, subfolder: str) -> list[str]:
        """The names in a subfolder."""
        where = f"{self._base}/{subfolder}".rstrip("/")
        return [path.rpartition("/")[2] for path in self._fs.ls(where, detail=False)] if self._fs.isdir(where) else []

    def read(self, name: str) -> bytes:
        """The content of an object."""
        return bytes(self._fs.cat_file(f"{self._base}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        self._fs.pipe_file(f"{self._base}/{name}", content)

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects in one request."""
        sync(self._fs.loop, self._fs._bulk_delete, [f"{self._base}/{name}" for name in names])


LIBRARIES: dict[str, Callable[[str], Bucket]] = {"obstore": Bucket, "s3fs": ByS3fs}


def folder_of(library: str, location: str) -> Folder:
    """The folder of a URL, by a library."""
    folder = Folder(location)
    folder._place = LIBRARIES[library](location)
    return folder


@contextmanager
def server(latency: float) -> Iterator[Callable[[], int]]:
    """A server, to which this process is pointed; gives what counts the requests since it was last asked."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.object_server", str(latency)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        somebody = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_REGION": "us-east-1"}
        os.environ.update(somebody, AWS_ENDPOINT_URL=url, AWS_DEFAULT_REGION="us-east-1")
        yield lambda: sum(json.load(urlopen(f"{url}/?counts")).values())
    finally:
        process.kill()
        process.communicate()


def manifest_of(name: str, rows: int, dim: int, rows_per_shard: int) -> dict[str, Any]:
    """Its manifest, with the benchmark's splits."""
    splits = {split: int(rows * share) for split, share in SHARES.items()}
    dataset = {"name": "made up", "class_names": [], "rows": splits, "listing_sha256": "made up"}
    plan = {"rows": splits, "rows_per_shard": rows_per_shard, "rows_per_chunk": 1024}
    return manifest(name, dataset, plan, dim=dim)


def write(folder: Folder, manifest: dict[str, Any], embeddings: np.ndarray) -> None:
    """Write a whole cache, as a run does."""
    folder.write_json(layout.MANIFEST, manifest)
    store = CacheStore(folder, manifest)
    splits = {
        split: ([f"class {row % 100}/{row:08}.jpg" for row in range(n)], np.arange(n) % 100)
        for split, n in store.plan.rows.items()
    }
    store.prepare(splits, {})
    for split in store.plan.rows:
        for shard in store.pending(split):
            states, content = np.ones(len(shard), np.int8), np.ones((len(shard), 16), np.uint8)
            store.write(ShardResult(shard, embeddings[: len(shard)], None, states, content))
    store.require_complete()
    folder.consolidate()
    rows = manifest["plan"]["rows"]
    folder.write_json(layout.COMPLETE, {"finished": now(), "rows": rows, "unreadable": {}, "seconds": 1.0})


def prove(folder: Folder, manifest: dict[str, Any]) -> None:
    """Find in the store that nothing is left to do."""
    store = CacheStore(folder, manifest)
    assert not any(store.pending(split) for split in store.plan.rows)
    store.require_complete()


def load(folder: Folder) -> int:
    """Open a cache and read all its splits; the rows read."""
    cache = Cache(folder).load()
    return sum(len(cache[split].images) for split in cache.splits if cache[split].labelled.all())


def names_of(location: str) -> list[str]:
    """The objects that `load` reads."""
    arrays = [f"{split}/{name}/c/" for split in SHARES for name in (IMAGES, LABELS, IDS, STATE)]
    there = [entry["path"] for page in obstore.list(store_at(location)) for entry in page]
    metadata = [layout.MANIFEST, layout.COMPLETE, layout.ROOT_GROUP]
    return metadata + [path for path in there if path.startswith(tuple(arrays))]


def plain_gets(location: str, names: list[str]) -> int:
    """Get objects, all at once; the bytes read."""
    store = store_at(location)

    async def get(name: str) -> int:
        return len(await (await obstore.get_async(store, name)).bytes_async())

    async def every() -> int:
        return sum(await asyncio.gather(*map(get, names)))

    return asyncio.run(every())


def row(library: str, latency: float, rows: int, dim: int, rows_per_shard: int, repeats: int) -> list[str]:
    """Measure one library; a row of the table."""
    location = join(ROOT, "caches", library)
    embeddings = np.random.default_rng(0).standard_normal((rows_per_shard, dim), dtype=np.float32)
    manifest = manifest_of(library, rows, dim, rows_per_shard)
    with server(latency) as requests:
        folder = folder_of(library, location)

        def told(work: Callable[..., Any], *given: Any) -> str:
            requests()
            seconds, _ = timed(work, *given)
            return f"{seconds:.2f} ({requests():,})"

        cells = [told(write, folder, manifest, embeddings), told(prove, folder, manifest)]
        cells.append(told(list_caches, ROOT) if library == "obstore" else "")
        names = names_of(location)
        assert load(folder) == sum(manifest["plan"]["rows"].values())
        requests()
        load(folder)
        count = requests()
        # In turn, for the machine may be busy with other work for a while.
        turns = [(timed(load, folder)[0], timed(plain_gets, location, names)[0]) for _ in range(repeats)]
        loading, plain = map(min, zip(*turns, strict=True))
    cells += [f"{loading:.2f} ({count:,})", f"{plain:.2f} ({len(names):,})", f"{loading / plain:.1f}"]
    return [f"{latency:g} ms", f"{rows_per_shard:,}", library, *cells]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--latency", nargs="+", type=float, default=[0, 20], help="milliseconds")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--shards", nargs="+", type=int, default=[32_768, 2_048], help="rows of a shard")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    columns = ["latency", "rows of a shard", "library", "write", "prove", "list", "load", "plain GETs", "times plain"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for latency in options.latency:
        for rows_per_shard in options.shards:
            for library in options.libraries:
                cells = row(library, latency, options.rows, options.dim, rows_per_shard, options.repeats)
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
