"""One encoder, and the shards that it is given: what runs once a process, here or on another machine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from featcache.cache.catalogue import list_caches
from featcache.cache.layout import MANIFEST
from featcache.cache.manifest import library_versions, require_equal, views_of
from featcache.cache.plan import Shard
from featcache.cache.projections import write_projections
from featcache.cache.reading import read_manifest
from featcache.cache.sealed import write_sealed
from featcache.cache.writing import CacheStore, ShardResult
from featcache.encoders.encoder import Encoder
from featcache.encoding.speed import default_batch_size, default_workers, images_per_second
from featcache.errors import CacheError, DataError
from featcache.extraction.agreement import agreed_manifest, identity_of, known_identity
from featcache.extraction.encode_shards import encode_shards
from featcache.extraction.engines.engine import Brief
from featcache.extraction.fast_decoding import cosine_to_exact
from featcache.extraction.growing.made_alike import images_made_alike
from featcache.extraction.job import Job
from featcache.extraction.requested_prompts import add_prompts
from featcache.extraction.survey import Surveyed, costs_little, survey
from featcache.places.folder import is_url
from featcache.places.lock import Watched

TELL = 0.5
"""Seconds of encoding after which a station tells how far it is."""
LOOKED_AT = 16
"""Images of a split that a station looks for before it begins."""


@dataclass(frozen=True)
class Told:
    """What a station tells when it has gone on for a while.

    Attributes:
        rows: Encoded since it last told.
        bad: Of these, unreadable.
        finished: Shards that are written since.
        returned: Shards that it was asked to give back.
        wants: Whether all that it has is begun.
        waited: Seconds by cause, see `encoding.waits`; since the start.
        reused: Rows of the finished shards that were taken from other caches.
    """

    rows: int
    bad: int
    finished: Sequence[Shard]
    returned: Sequence[Shard]
    wants: bool
    waited: Mapping[str, float]
    reused: int = 0


class Station:
    """An encoder on one device.

    Args:
        brief: What run it is part of.
        device: Where it encodes.
        cores: Of the CPU, that it may use.
    """

    def __init__(self, brief: Brief, device: str, cores: int) -> None:
        self.brief, self._device, self._cores = brief, device, cores
        self._feed, self._finished = deque[Shard](), deque[tuple[Shard, int]]()
        self._running: Generator[tuple[int, int]] | None = None
        self._speeds: dict[int, float] = {}

    def load(self) -> str:
        """Look around, and load the encoder.

        Returns:
            What must be said of that; mostly nothing.

        Raises:
            ModelError: It cannot be loaded here.
            DataError: The images are not seen from here, or libraries have other versions than where the command was
                typed.
        """
        began = time.monotonic()
        self._look()
        request = self.brief.request
        self.encoder = Encoder.load(
            request.model,
            request.pretrained,
            device=self._device,
            precision=request.precision,
            decode=request.decode,
            keep=request.keep is not None,
        )
        asked = request.workers
        self._workers = default_workers(self.encoder.device, self._cores) if asked is None else asked
        self._starting = time.monotonic() - began
        return self.encoder.note

    def survey(self, parts: Sequence[tuple[str, range]]) -> Surveyed | None:
        """Look at the headers of images that are to be encoded, if that was asked for or costs little; else None.

        Args:
            parts: Splits and rows.

        Raises:
            DataError: The system killed a process.
        """
        request, dataset = self.brief.request, self.brief.dataset
        asked = request.check
        if asked is None and not is_url(dataset.location):
            size = request.batch_size if isinstance(request.batch_size, int) else None
            rate = self._speed(size or default_batch_size(self.encoder.device))
            asked = costs_little(dataset, parts, rate=rate, starting=self._starting, workers=self._workers)
        return survey(dataset, parts, self._workers) if asked else None

    def prepare(self) -> None:
        """Make the cache, or make sure that it is of the same numbers: one station does, before all others.

        Raises:
            CacheMismatch: There is one of something different.
        """
        request, dataset, folder = self.brief.request, self.brief.dataset, self.brief.folder
        manifest = agreed_manifest(request, dataset, folder, self.encoder, self._speed)
        CacheStore(folder, manifest).prepare(
            {split: (part.ids, part.labels) for split, part in dataset.splits.items()},
            views_of(manifest["identity"]),
        )
        write_projections(folder, self.encoder.projections)
        add_prompts(request, dataset, folder, self.encoder)
        if self.encoder.draft is not None and "cosine_to_exact" not in manifest:
            manifest["cosine_to_exact"] = cosine_to_exact(self._new_job())
            write_sealed(folder, MANIFEST, manifest)

    def check(self) -> None:
        """Make sure that the cache is seen from here, and that the same would be made here.

        Raises:
            CacheError: It is not seen, or made from something different.
        """
        dataset, folder = self.brief.dataset, self.brief.folder
        if not folder.exists(MANIFEST):
            raise CacheError(f"{folder.location} is not seen from here; give --root a shared folder or a URL")
        self._held = Watched(folder, self.brief.token)
        self._held.check()
        manifest = read_manifest(folder)
        here = identity_of(self.brief.request, dataset, self.encoder, manifest["identity"]["batch_size"])
        require_equal(known_identity(manifest), here, manifest["name"])
        self._store = CacheStore(folder, manifest)
        caches = list_caches(self.brief.request.root)
        asked = self.brief.request.dataset_json(dataset)
        known = images_made_alike(caches, here, asked, folder.location, known_identity)
        self._job = replace(self._new_job(), known=known)

    def go_on(self, more: Sequence[Shard], give_back: bool = False) -> Told:
        """Encode for a while, or until nothing is left.

        Args:
            more: Shards to do after those that it has.
            give_back: Whether to return what is not begun.

        Raises:
            DataError: An image is unreadable and the run is to fail then; the message names it.
            CacheLocked: Another run holds the cache.
        """
        self._feed.extend(more)
        returned = list(self._drawn()) if give_back else []
        began, rows, bad = time.monotonic(), 0, 0
        while self._running or self._feed:
            self._running = self._running or encode_shards(self._job, self._drawn(), self._write)
            batch = next(self._running, None)
            if batch is None:
                self._running = None
                continue
            rows, bad = rows + batch[0], bad + batch[1]
            if time.monotonic() - began >= TELL:
                break
        written = [self._finished.popleft() for _ in range(len(self._finished))]
        finished, reused = [shard for shard, _ in written], sum(count for _, count in written)
        return Told(rows, bad, finished, returned, not self._feed, self._job.waits.seconds, reused)

    def close(self) -> None:
        """End what is running; finished shards are written."""
        if self._running is not None:
            self._running.close()

    def _look(self) -> None:
        here, typed = library_versions(), self.brief.versions
        others = [f"{name} is {here[name]} there and {typed[name]} here" for name in here if here[name] != typed[name]]
        if others:
            raise DataError(f"{', '.join(others)}; install the same versions")
        dataset = self.brief.dataset
        for split, part in dataset.splits.items():
            some = part.ids[:: max(1, len(part.ids) // LOOKED_AT)]
            missing = [one for one, size in zip(some, dataset.reader.sizes(some), strict=True) if size < 0]
            if some and len(missing) == len(some):
                message = f"the images are not seen from there: {dataset.location} lacks {missing[0]} ({split}); "
                raise DataError(message + "put them at the same path")

    def _speed(self, batch_size: int) -> float:
        """Images a second here, measured once."""
        if batch_size not in self._speeds:
            reader, first = self.brief.dataset.reader, next(iter(self.brief.dataset.splits.values()))
            self._speeds[batch_size] = images_per_second(
                self.encoder, reader, first.ids, batch_size=batch_size, workers=self._workers
            )
        return self._speeds[batch_size]

    def _new_job(self) -> Job:
        skip = self.brief.request.on_error == "skip"
        manifest = read_manifest(self.brief.folder)
        return Job.of(manifest, self.brief.dataset, self.encoder, skip_unreadable=skip, workers=self._workers)

    def _drawn(self) -> Iterator[Shard]:
        """What is in the feed when it is asked for; another thread may ask, too."""
        while True:
            try:
                yield self._feed.popleft()
            except IndexError:
                return

    def _write(self, result: ShardResult) -> None:
        self._held.check()
        self._store.write(result)
        self._finished.append((result.shard, result.reused))
