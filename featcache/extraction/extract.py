"""`extract`: run a frozen encoder once over a data set and keep what it saw. The order of events is here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featcache.cache.layout import COMPLETE, MANIFEST
from featcache.cache.manifest import FORMAT, digest, library_versions, require_equal, views_of
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import Cache, read_manifest
from featcache.cache.text_sets import TextIndex
from featcache.cache.writing import CacheStore, ShardResult, explain_full_disk
from featcache.datasets.dataset import Dataset
from featcache.extraction.engines import ENGINES
from featcache.extraction.request import Request, choose_prompts, dataset_identity
from featcache.extraction.waits import Waits
from featcache.places.folder import Folder, join
from featcache.places.home import caches_location
from featcache.places.lock import Held, writing
from featcache.progress import Silent, StderrReporter
from featcache.prompts import PromptSpec
from featcache.utc import now

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder


@dataclass(frozen=True)
class ExtractionReport:
    """What a run did.

    Attributes:
        cache: The finished cache.
        encoded: Images encoded by this run.
        resumed: Images found already encoded.
        skipped: Rows of the cache without an embedding because their image is unreadable.
        seconds: Of the whole run.
        encoding_seconds: Of that, decoding, encoding and writing images.
        waited: Of that, what was waited for: seconds by cause, see `extraction.waits`.
    """

    cache: Cache
    encoded: int
    resumed: int
    skipped: int
    seconds: float
    encoding_seconds: float
    waited: Mapping[str, float]

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
            "encoded": self.encoded,
            "resumed": self.resumed,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
            "images_per_second": self.images_per_second and round(self.images_per_second, 1),
            "waited": {cause: round(seconds, 3) for cause, seconds in self.waited.items()},
        }


def run_extraction(request: Request, *, progress: bool = True) -> ExtractionReport:
    """Make, continue or recognise the cache that `request` describes.

    Raises:
        FeatcacheError: One of its kinds, see `featcache.errors`; the message is one line.
    """
    began = time.monotonic()
    dataset = request.load_dataset()
    prompts = choose_prompts(dataset.prompts, dataset.default_prompts, request.templates)
    prompts[1].expand(dataset.class_names)  # what is wrong with them is said before any work
    folder = Folder(join(caches_location(request.root), request.cache_name(dataset)))
    if folder.exists(MANIFEST):
        require_same_request(read_manifest(folder), request, dataset)
    encoded, seconds, waited = 0, 0.0, Waits().seconds
    if not folder.exists(COMPLETE):
        with explain_full_disk(folder), writing(folder) as held:
            encoded, seconds, waited = _encode(request, dataset, prompts, folder, held, progress=progress)
    elif prompts_missing(request, dataset, prompts, folder):
        with explain_full_disk(folder), writing(folder):
            _add_prompts(request, dataset, prompts, folder)
    cache = Cache(folder)
    skipped = sum(cache.completion["unreadable"].values())
    return ExtractionReport(
        cache=cache,
        encoded=encoded,
        resumed=sum(cache.rows.values()) - skipped - encoded,
        skipped=skipped,
        seconds=time.monotonic() - began,
        encoding_seconds=seconds,
        waited=waited,
    )


def require_same_request(manifest: Mapping[str, Any], request: Request, dataset: Dataset) -> None:
    """Refuse a cache that was made from something else; told from JSON alone, before any model is loaded.

    Raises:
        CacheMismatch: Names the difference.
    """
    identity, kept = manifest["identity"], dict(manifest["request"])
    kept |= {"precision": identity["encoder"]["precision"], "batch_size": identity["batch_size"]}
    asked = request.fingerprint(dataset) | {
        "precision": kept["precision"] if request.precision == "auto" else request.precision,
        "batch_size": kept["batch_size"] if request.batch_size in (None, "auto") else request.batch_size,
    }
    for made in (kept, asked):  # which is left out where it is exact, as before there was a choice
        made.setdefault("decode", "exact")
    # Images may move, and one may be mended where it is. Another folder with other files is another data set.
    if any(asked["images"][key] == kept["images"][key] for key in kept["images"]):
        asked["images"] = kept["images"]
    require_equal(kept, asked, manifest["name"])


def prompts_missing(request: Request, dataset: Dataset, prompts: tuple[str, PromptSpec], folder: Folder) -> bool:
    """Whether the prompt set asked for is not the default one yet; nothing is asked for without `--templates`."""
    name, spec = prompts
    index = TextIndex(folder)
    if request.templates is None:
        return index.default is None
    return index.default != name or not index.has(name, spec.expand(dataset.class_names))


def _add_prompts(
    request: Request,
    dataset: Dataset,
    prompts: tuple[str, PromptSpec],
    folder: Folder,
    encoder: Encoder | None = None,
) -> None:
    """Make the prompt set the default one, encoding it if it is not there."""
    from featcache.extraction.add_text import encode_prompts, load_text_encoder

    name, spec = prompts
    index = TextIndex(folder)
    expanded = spec.expand(dataset.class_names)
    if index.has(name, expanded):
        index.make_default(name)
        return
    if encoder is None:
        encoder = load_text_encoder(read_manifest(folder), device=request.device)
    index.write(name, expanded, encode_prompts(encoder, expanded), default=True)


def _encode(
    request: Request,
    dataset: Dataset,
    prompts: tuple[str, PromptSpec],
    folder: Folder,
    held: Held,
    *,
    progress: bool,
) -> tuple[int, float, dict[str, float]]:
    """Encode what is missing; returns the number of images, the seconds that they took, and what was waited for."""
    # Imported here: a finished cache is recognised without torch.
    from featcache.encoders.encoder import Encoder
    from featcache.extraction.engine import Job
    from featcache.extraction.fast_decoding import cosine_to_exact
    from featcache.extraction.speed import default_workers

    encoder = Encoder.load(
        request.model,
        request.pretrained,
        device=request.device,
        precision=request.precision,
        decode=request.decode,
    )
    workers = default_workers(encoder.device) if request.workers is None else request.workers
    manifest = _agreed_manifest(request, dataset, folder, encoder, workers)
    store = CacheStore(folder, manifest)
    store.prepare(
        {split: (part.ids, part.labels) for split, part in dataset.splits.items()}, views_of(manifest["identity"])
    )
    if prompts_missing(request, dataset, prompts, folder):
        _add_prompts(request, dataset, prompts, folder, encoder)

    shards = [shard for split in dataset.splits for shard in store.pending(split)]
    before = store.encoded()
    job = Job.of(manifest, dataset, encoder, skip_unreadable=request.on_error == "skip", workers=workers)
    if encoder.draft is not None and "cosine_to_exact" not in manifest:
        manifest["cosine_to_exact"] = cosine_to_exact(job)
        folder.write_json(MANIFEST, manifest)

    def write(result: ShardResult) -> None:
        held()
        store.write(result)

    began = time.monotonic()
    if shards:
        with StderrReporter() if progress else nullcontext(Silent()) as reporter:
            reporter.start(f"Encoding {manifest['name']}", sum(map(len, shards)))
            ENGINES[request.engine]().run(job, shards, write, reporter)
    seconds = time.monotonic() - began
    done = {"finished": now(), "rows": store.plan.rows, "unreadable": store.require_complete()}
    folder.consolidate()
    held()
    folder.write_json(COMPLETE, done | {"seconds": round(seconds, 3)})
    return store.encoded() - before, seconds, job.waits.seconds


def _agreed_manifest(
    request: Request, dataset: Dataset, folder: Folder, encoder: Encoder, workers: int
) -> dict[str, Any]:
    """The cache's manifest: a new one, or the one that is there if it describes the same numbers.

    Raises:
        CacheMismatch: There is one of something different.
    """
    from featcache.encoders.of_identity import spelled_out
    from featcache.extraction.speed import batch_sizes, default_batch_size, fastest

    old, tried = (read_manifest(folder) if folder.exists(MANIFEST) else None), dict[int, float]()
    if old:
        kept = old["identity"]["batch_size"]
        batch_size = kept if request.batch_size in (None, "auto") else request.batch_size
    elif request.batch_size == "auto":
        tried = batch_sizes(encoder)
        batch_size = fastest(tried)
    else:
        batch_size = request.batch_size or default_batch_size(encoder.device)
    identity = {
        "dataset": dataset_identity(dataset),
        "encoder": dict(encoder.identity),
        "views": request.views_identity(),
        "dtype": request.dtype,
        "batch_size": batch_size,
        "device": encoder.device.type,
        "versions": library_versions(),
    }
    if old is None:
        manifest = _new_manifest(request, dataset, folder, encoder, workers, identity)
        if tried:
            manifest["plan"]["batch_sizes"] = {str(size): round(rate, 2) for size, rate in tried.items()}
        folder.write_json(MANIFEST, manifest)
        return manifest
    known = old["identity"] | {"encoder": spelled_out(old["identity"]["encoder"])}
    require_equal(known, identity, old["name"])
    return old


def _new_manifest(
    request: Request, dataset: Dataset, folder: Folder, encoder: Encoder, workers: int, identity: dict[str, Any]
) -> dict[str, Any]:
    from featcache.extraction.speed import images_per_second

    first_ids = next(iter(dataset.splits.values())).ids
    batch_size = identity["batch_size"]
    speed = images_per_second(encoder, dataset.reader, first_ids, batch_size=batch_size, workers=workers)
    plan = ShardPlan.for_speed(
        identity["dataset"]["rows"],
        batch_size=batch_size,
        rows_per_second=speed / (1 + request.views),
        bytes_per_row=4 * encoder.dim * (1 + request.views),
    )
    return {
        "format": FORMAT,
        "name": request.cache_name(dataset),
        "created": now(),
        "digest": digest(identity),
        "identity": identity,
        "plan": {
            "rows": plan.rows,
            "rows_per_shard": plan.rows_per_shard,
            "rows_per_chunk": plan.rows_per_chunk,
            "images_per_second": round(speed, 2),
        },
        "request": request.fingerprint(dataset),
        "provenance": {
            **dataset.provenance,
            "prompt_sets": {name: spec.to_json() for name, spec in dataset.prompts.items()},
            "default_prompts": dataset.default_prompts,
            "request": request.dataset_json(dataset),
        },
    }
