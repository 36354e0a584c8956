"""Listing, shards and state of a very large cache, without an encoder: seconds and resident size of each step.

    python -m benchmarks.scale [--rows 1e6 1e7 1e8] [--images-per-second 8391] [--dim 8] [--folder DIR]

What is measured is the package's own code, each process of a run in a process of its own: from a Parquet listing
(written before, nine tenths train, ids such as `part-00123/000123456.jpg`) to the proof that nothing is missing. Left
out are images and encoder: the embeddings are zeros, and few of them a row (`--dim`), since a disk would hold no more.
The shards are cut as those of a cache of D = 512 whose encoder does `--images-per-second`. Files of images are looked
at in a smaller folder, 20,000 of them at most.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import featcache
from benchmarks.made_up import manifest
from benchmarks.timing import timed
from featcache.cache.layout import COMPLETE, ENCODED, MANIFEST
from featcache.cache.plan import Shard, ShardPlan
from featcache.cache.writing import CacheStore, ShardResult
from featcache.datasets.dataset import Dataset
from featcache.datasets.load import OWN_PROMPTS
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.sources.tables.columns import NOTHING_TOLD
from featcache.datasets.sources.tables.image_paths import placed
from featcache.datasets.sources.tables.parquet_listing import read_table
from featcache.extraction.planned import planned
from featcache.extraction.request import Request, dataset_identity
from featcache.ids import CONTENT_BYTES, Ids, blocks, repeated_id
from featcache.places.folder import Folder, join
from featcache.places.home import caches_location
from featcache.utc import now
from featcache.verification.verify import verify_store

CLASSES, PER_FOLDER, FILES = 1_000, 10_000, 20_000
AS_WIDE_AS = 512
"""The embedding width for which the shards are cut."""
LISTING, NAME = "listing.parquet", "scale"


class NoImages:
    """A reader of images that nobody reads."""

    def read(self, image_id: str) -> bytes:
        """Nothing."""
        return b""

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        """Zeros."""
        return (0 for _ in ids)


@dataclass(frozen=True, kw_only=True)
class OfListing(Request):
    """A request whose data set is the listing alone: whether its images exist is not asked."""

    def listed(self, *, download: bool = True) -> Dataset:
        """The data set of the listing."""
        names, found, _ = read_table(FolderReader(Path(self.dataset).parent), Path(self.dataset).name, NOTHING_TOLD)
        provenance = {"card": None, "source": self.dataset}
        return Dataset(NAME, tuple(names), found, NoImages(), OWN_PROMPTS, "default", provenance)


@dataclass
class Steps:
    """What is measured, and the steps of each process."""

    folder: Path
    rows: int
    dim: int
    images_per_second: float
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.request = OfListing(
            model="tiny", dataset=str(self.folder / LISTING), root=self.folder, name=NAME, precision="fp32"
        )
        self.cache = Folder(join(caches_location(self.folder), NAME))

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        from time import perf_counter

        began = perf_counter()
        yield
        self.seconds[what] = perf_counter() - began

    def write_listing(self) -> None:
        """The Parquet file that all begins with; not measured."""
        import pyarrow
        import pyarrow.parquet

        schema = pyarrow.schema([("path", pyarrow.string()), ("label", pyarrow.int16()), ("split", pyarrow.string())])
        with pyarrow.parquet.ParquetWriter(self.folder / LISTING, schema, compression="zstd") as file:
            for rows in blocks(self.rows, 2**20):
                numbers = np.arange(rows.start, rows.stop)
                paths = [image(row) for row in numbers.tolist()]
                splits = np.where(numbers % 10 == 9, "test", "train")
                file.write_table(
                    pyarrow.table([paths, (numbers // 10 % CLASSES).astype(np.int16), splits], schema=schema)
                )

    def look_at_listing(self) -> None:
        """A first look at the listing."""
        dataset = self._listed()
        with self._step("find ids that are there twice"):
            assert repeated_id([Ids.of(split.ids) for split in dataset.splits.values()]) is None

    def look_at_files(self) -> None:
        """What is asked of the file system for each image before a run, of an image more than is looked at here."""
        rows, folder = min(self.rows, FILES), self.folder / "files"
        for row in range(rows):
            path = folder / image(row)
            if not row % PER_FOLDER:
                path.parent.mkdir(parents=True)
            path.touch()
        _, found, _ = read_table(FolderReader(self.folder), LISTING, NOTHING_TOLD)
        few = {name: split.take(np.arange(len(split) * rows // self.rows)) for name, split in found.items()}
        there, _ = timed(placed, FolderReader(folder), str(folder / LISTING), few, NOTHING_TOLD)
        sizes, _ = timed(lambda: [sum(FolderReader(folder).sizes(split.ids)) for split in few.values()])
        self.seconds["ask whether each image exists"] = there * self.rows / rows
        self.seconds["ask how large each image is"] = sizes * self.rows / rows

    def begin(self) -> None:
        """A first run, up to its first image."""
        dataset = self._listed()
        with self._step("make the cache: manifest, ids, labels"):
            self.cache.write_json(MANIFEST, self._manifest(dataset))
            self._store().prepare(_arrays(dataset), {})

    def write_half(self) -> None:
        """The first half of the shards; those are written while the encoder goes on."""
        store = self._store()
        shards = [shard for split in store.plan.rows for shard in store.pending(split)]
        with self._step(f"write {len(shards) // 2:,} of {len(shards):,} shards"):
            self._write(store, shards[: len(shards) // 2])

    def plan(self) -> None:
        """`--plan` of a cache that is half done."""
        with self._step("`--plan`, all of it"):
            found = planned(self.request)
        assert found.shards is not None
        assert found.done == found.shards // 2

    def resume(self) -> None:
        """A second run, up to its first image; and then what is left."""
        dataset = self._listed()
        store = self._store()
        with self._step("resume: compare ids and labels"):
            store.prepare(_arrays(dataset), {})
        with self._step("resume: find the shards that are left"):
            shards = [shard for split in store.plan.rows for shard in store.pending(split)]
        with self._step(f"write {len(shards):,} shards"):
            self._write(store, shards)

    def prove(self) -> None:
        """The end of a run."""
        store = self._store()
        with self._step("prove that no row is missing"):
            unreadable = store.require_complete()
        with self._step("count the rows that have an embedding"):
            assert store.encoded() == self.rows
        self.cache.consolidate()
        self.cache.write_json(
            COMPLETE, {"finished": now(), "rows": store.plan.rows, "unreadable": unreadable, "seconds": 0.0}
        )

    def open(self) -> None:
        """A look at a finished cache."""
        rows = np.random.default_rng(0).integers(0, self.rows * 9 // 10, 1)
        with self._step("open the cache, read the id and the embedding of a row"):
            train = featcache.open(NAME, root=self.folder)["train"]
            assert train.take_ids(rows)[0] == image(int(rows[0]) * 10 // 9)
            assert not train.take_images(rows).any()

    def verify(self) -> None:
        """`featcache verify --sample 0`."""
        with self._step("verify every row and the listing's digest"):
            found = verify_store(self.cache)
        assert not found.missing
        assert not found.damaged

    def _listed(self) -> Dataset:
        with self._step("read the listing"):
            dataset = self.request.load_dataset()
        with self._step("digest of the listing"):
            dataset.listing_sha256  # noqa: B018
        return dataset

    def _store(self) -> CacheStore:
        return CacheStore(self.cache, self.cache.read_json(MANIFEST))

    def _manifest(self, dataset: Dataset) -> dict[str, Any]:
        own = dataset_identity(dataset)
        plan = ShardPlan.for_speed(
            own["rows"],
            batch_size=256,
            rows_per_second=self.images_per_second,
            bytes_per_row=4 * AS_WIDE_AS,
        )
        cut = {"rows": plan.rows, "rows_per_shard": plan.rows_per_shard, "images_per_second": self.images_per_second}
        return {**manifest(NAME, own, cut, dim=self.dim), "request": self.request.fingerprint(dataset)}

    def _write(self, store: CacheStore, shards: list[Shard]) -> None:
        for shard in shards:
            store.write(
                ShardResult(
                    shard=shard,
                    images=np.zeros((len(shard), self.dim), np.float32),
                    views=None,
                    state=np.full(len(shard), ENCODED, np.int8),
                    content=np.ones((len(shard), CONTENT_BYTES), np.uint8),
                )
            )


PROCESSES: Mapping[str, Callable[[Steps], None]] = {
    "list": Steps.look_at_listing,
    "files": Steps.look_at_files,
    "begin": Steps.begin,
    "write half": Steps.write_half,
    "plan": Steps.plan,
    "resume": Steps.resume,
    "prove": Steps.prove,
    "open": Steps.open,
    "verify": Steps.verify,
}


def image(row: int) -> str:
    """The id of a row of the listing."""
    return f"part-{row // PER_FOLDER:05d}/{row:09d}.jpg"


def _arrays(dataset: Dataset) -> dict[str, tuple[Any, np.ndarray]]:
    return {split: (part.ids, part.labels) for split, part in dataset.splits.items()}


def _peak() -> float:
    """Peak resident size of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 1e7, 1e8])
    parser.add_argument("--images-per-second", type=float, default=8391, help="decides how large a shard is")
    parser.add_argument("--dim", type=int, default=8, help="zeros a row")
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    parser.add_argument("--process", choices=PROCESSES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        steps = Steps(Path(options.folder), int(options.rows[0]), options.dim, options.images_per_second)
        PROCESSES[options.process](steps)
        print(json.dumps({"peak": _peak(), **steps.seconds}))
        return
    print("| rows | process | step | seconds | microseconds a row | peak MB |\n|---|---|---|---|---|---|")
    for rows in map(int, options.rows):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            Steps(Path(folder), rows, options.dim, options.images_per_second).write_listing()
            words = [f"--folder={folder}", f"--dim={options.dim}", f"--images-per-second={options.images_per_second}"]
            for process in PROCESSES:
                command = [sys.executable, "-m", "benchmarks.scale", *words, f"--rows={rows}", f"--process={process}"]
                found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
                peak = found.pop("peak")
                for step, seconds in found.items():
                    micro = seconds / rows * 1e6
                    print(f"| {rows:,} | {process} | {step} | {seconds:.2f} | {micro:.3f} | {peak:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
