"""`extract`: run a frozen encoder once over a data set and keep what it saw. The order of events is here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from featcache.cache.catalogue import remember
from featcache.cache.layout import COMPLETE, MANIFEST, UNLABELLED
from featcache.cache.manifest import library_versions
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import Cache, read_manifest
from featcache.cache.sealed import write_sealed
from featcache.cache.writing import CacheStore, explain_full_disk, shards_left
from featcache.datasets.dataset import Dataset
from featcache.encoding.waits import Waits
from featcache.extraction.engines.engine import Brief, Engine, StationThere
from featcache.extraction.engines.engines import ENGINES
from featcache.extraction.engines.handing_out import HandingOut, everywhere
from featcache.extraction.growing.placing import place
from featcache.extraction.request import Request
from featcache.extraction.requested_prompts import add_prompts, prompts_missing, requested_prompts
from featcache.extraction.survey import Surveyed, told
from featcache.images.lost_worker import explain_lost_worker
from featcache.places.folder import Folder
from featcache.places.lock import Held, forget_the_dead, writing
from featcache.progress import Reporter, Silent, StderrReporter
from featcache.prompts import left_to_default
from featcache.utc import now


@dataclass(frozen=True)
class ExtractionReport:
    """What a run did.

    Attributes:
        cache: The finished cache.
        encoded: Images encoded by this run.
        reused: Images whose embeddings this run took from other caches.
        resumed: Images found already encoded.
        skipped: Rows of the cache without an embedding because their image is unreadable.
        seconds: Of the whole run.
        encoding_seconds: Of that, decoding, encoding and writing images.
        waited: Of that, what was waited for: seconds by cause, see `encoding.waits`; of all places together.
        encoded_by: Rows that each place encoded, such as `cuda:0`.
        checked: Images whose headers were looked at before any was encoded; None where that was left out.
        instead_of: The cache that the data set went to before its images changed; None where there is none.
    """

    cache: Cache
    encoded: int
    resumed: int
    skipped: int
    seconds: float
    encoding_seconds: float
    waited: Mapping[str, float]
    encoded_by: Mapping[str, int]
    checked: int | None = None
    reused: int = 0
    instead_of: str | None = None

    @property
    def images_per_second(self) -> float | None:
        """Encoding speed of this run; None if there was nothing to encode."""
        return self.encoded / self.encoding_seconds if self.encoded else None

    def to_json(self) -> dict[str, Any]:
        """What was done, as JSON-able values."""
        return {
            "cache": self.cache.path,
            "name": self.cache.name,
            "digest": self.cache.digest,
            "rows": self.cache.rows,
            "unlabelled": self.cache.unlabelled,
            "encoded": self.encoded,
            "reused": self.reused,
            "resumed": self.resumed,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
            "images_per_second": self.images_per_second and round(self.images_per_second, 1),
            "waited": {cause: round(seconds, 3) for cause, seconds in self.waited.items()},
            "encoded_by": dict(self.encoded_by),
            "checked": self.checked,
            "instead_of": self.instead_of,
        }


@dataclass(frozen=True)
class _Run:
    """What a run did: images encoded and taken, the seconds of that, who did it, and images looked at before."""

    encoded: int = 0
    reused: int = 0
    seconds: float = 0.0
    handed_out: HandingOut | None = None
    checked: int | None = None


def run_extraction(request: Request, *, progress: bool = True) -> ExtractionReport:
    """Make, continue or recognise the cache that `request` describes.

    Raises:
        FeatcacheError: One of its kinds, see `featcache.errors`; the message is one line.
    """
    began = time.monotonic()
    placed = place(request)
    request, dataset, folder = placed.request, placed.dataset, placed.folder
    _, prompts = requested_prompts(request, dataset)  # what is wrong with them is said before any work
    if left_out := prompts.left_out(dataset.class_names):
        with _reporting(progress) as reporter:
            reporter.note(left_to_default(left_out))
    run = _Run()
    if not folder.exists(COMPLETE):
        with (
            _reporting(progress) as reporter,
            explain_full_disk(folder),
            writing(folder, reporter.note) as held,
            explain_lost_worker(),
        ):
            run = _encode(request, dataset, folder, held, reporter)
    elif prompts_missing(request, dataset, folder):
        with explain_full_disk(folder), writing(folder):
            add_prompts(request, dataset, folder)
    else:
        forget_the_dead(folder)
    cache = Cache(folder)
    if not run.encoded:
        remember(cache, request.root)
    skipped = sum(cache.completion["unreadable"].values())
    return ExtractionReport(
        cache=cache,
        encoded=run.encoded,
        resumed=sum(cache.rows.values()) - skipped - run.encoded - run.reused,
        skipped=skipped,
        seconds=time.monotonic() - began,
        encoding_seconds=run.seconds,
        waited=Waits().seconds | (run.handed_out.waited if run.handed_out else {}),
        encoded_by=dict(run.handed_out.rows) if run.handed_out else {},
        checked=run.checked,
        reused=run.reused,
        instead_of=placed.instead_of,
    )


def _encode(request: Request, dataset: Dataset, folder: Folder, held: Held, reporter: Reporter) -> _Run:
    """Encode what is missing."""
    brief = Brief(request.elsewhere(), dataset, folder, held.token, library_versions())
    engine: Engine = ENGINES[request.engine]()
    with engine.stations(brief) as stations:
        for note in dict.fromkeys(filter(None, everywhere(stations, "load"))):
            reporter.note(note)
        checked = _survey(request, dataset, folder, stations[0], reporter)
        everywhere(stations[:1], "prepare")
        everywhere(stations, "check")
        store = CacheStore(folder, read_manifest(folder))
        shards = [shard for split in dataset.splits for shard in store.pending(split)]
        before, began = store.encoded(), time.monotonic()
        handing_out = HandingOut(shards, stations, reporter, held.check) if shards else None
        if handing_out:
            first, others = stations[0].name, f" and {len(stations) - 1} more" if len(stations) > 1 else ""
            reporter.start(f"Encoding {request.cache_name(dataset)} on {first}{others}", sum(map(len, shards)))
            handing_out.run()
        seconds = time.monotonic() - began
    done = {
        "finished": now(),
        "rows": store.plan.rows,
        "unreadable": store.require_complete(),
        "labelled": {name: int((split.labels != UNLABELLED).sum()) for name, split in dataset.splits.items()},
        "files": store.digests(),
    }
    folder.consolidate()
    held.check()
    write_sealed(folder, COMPLETE, done | {"seconds": round(seconds, 3)})
    reused = handing_out.reused if handing_out else 0
    return _Run(store.encoded() - before - reused, reused, seconds, handing_out, checked)


def _survey(
    request: Request, dataset: Dataset, folder: Folder, station: StationThere, reporter: Reporter
) -> int | None:
    """Look at the headers of what is to be encoded; how many images those are, or None where it was left out.

    Raises:
        DataError: Images cannot be read and the run is to fail then.
    """
    rows = {split: len(part) for split, part in dataset.splits.items()}
    parts = [(split, range(count)) for split, count in rows.items()]
    if folder.exists(MANIFEST):
        left = shards_left(folder, ShardPlan.from_manifest(read_manifest(folder)))
        parts = [(shard.split, range(shard.start, shard.stop)) for shard in left]
    surveyed: Surveyed | None = station.call("survey", parts).result()
    if surveyed is None:
        return None
    if surveyed.unreadable:
        told(surveyed, request, request.cache_name(dataset), reporter.note)
    return surveyed.images


def _reporting(progress: bool) -> AbstractContextManager[Reporter]:
    return StderrReporter() if progress else nullcontext(Silent())
