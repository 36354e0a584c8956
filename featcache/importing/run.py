"""`featcache import`: embeddings made elsewhere become a cache. The order of events is here.

Everything is looked at before anything is written; then shards are written as by an extraction, so that the same
command goes on where it was stopped, and mends what `verify --repair` removed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featcache.array_names import TEXT as TEXTS
from featcache.cache.layout import COMPLETE, MANIFEST, UNLABELLED
from featcache.cache.manifest import FORMAT, require_equal
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import Cache, read_manifest
from featcache.cache.sealed import write_sealed
from featcache.cache.text_sets import TextIndex
from featcache.cache.writing import CacheStore, explain_full_disk
from featcache.datasets.load import OWN_PROMPTS
from featcache.errors import DataError
from featcache.extraction.request import choose_prompts
from featcache.ids import listing_digest
from featcache.importing.asked import Asked
from featcache.importing.class_texts import ClassTexts, prompts_told, require_same_texts, texts_in_source, texts_of
from featcache.importing.formats.formats import open_arrays
from featcache.importing.roles import NONE, find_roles
from featcache.importing.rows import Listed, list_rows, manifest_of
from featcache.importing.shards import filled_shards
from featcache.importing.values import Values, look_at, refuse_bad
from featcache.origin import IMPORTED, SAID, TEXT, UNKNOWN, imported, is_known, unknown_encoder
from featcache.places.folder import Folder, join
from featcache.places.home import caches_location
from featcache.places.lock import writing
from featcache.progress import Reporter, Silent, StderrReporter
from featcache.prompts import PromptSpec
from featcache.records import digest
from featcache.utc import now

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder

BATCH = 256
"""Rows of the smallest shard; `predict` encodes as many images together."""
ROWS_PER_SECOND = 2_000.0
"""From which the plan cuts shards: at 512 numbers a row about a hundred megabytes, one for each split in memory."""
RECORDED = "recorded"
"""An encoder that the source names, being an export of a cache."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        cache: The finished cache.
        written: Rows written by this run; `found` rows that were there.
        skipped: Empty rows.
        normalised: Whether the embeddings came with length 1.
        encoder: How the encoder is known: `said`, `recorded` or `unknown`.
        not_known: What is not known of their origin.
        told: What was guessed or made, a line each.
        seconds: That it took.
    """

    cache: Cache
    written: int
    found: int
    skipped: int
    normalised: bool
    encoder: str
    not_known: Sequence[str]
    told: Sequence[str]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `featcache import --json` prints."""
        return {
            "cache": self.cache.path,
            "name": self.cache.name,
            "digest": self.cache.digest,
            "rows": self.cache.rows,
            "written": self.written,
            "found": self.found,
            "skipped": self.skipped,
            "normalised": self.normalised,
            "encoder": self.encoder,
            "not_known": list(self.not_known),
            "told": list(self.told),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class _Work:
    """All that is to be written."""

    listed: Listed
    values: Values
    texts: ClassTexts | None
    manifest: dict[str, Any]
    told: Sequence[str]


def run_import(asked: Asked, *, progress: bool = True) -> ImportReport:
    """Make, continue or recognise the cache that was asked for.

    Raises:
        FeatcacheError: One of its kinds, see `featcache.errors`; the message is one line.
    """
    began = time.monotonic()
    folder = Folder(join(caches_location(asked.root), asked.cache_name))
    with _reporting(progress) as reporter:
        work = _prepared(asked, folder, reporter)
        if folder.exists(MANIFEST):
            old = read_manifest(folder)
            require_equal(old["identity"], work.manifest["identity"], old["name"])
            work.manifest["plan"] = old["plan"]
            finished = folder.exists(COMPLETE)
            if work.texts:
                require_same_texts(folder, old["name"], work.texts, work.listed.class_names, finished=finished)
        rows = 0
        if not folder.exists(COMPLETE):
            with explain_full_disk(folder), writing(folder, reporter.note):
                rows = _write(work, folder, reporter)
    cache = Cache(folder)
    facts = cache.manifest["provenance"][IMPORTED]
    return ImportReport(
        cache=cache,
        written=rows,
        found=sum(cache.rows.values()) - rows,
        skipped=sum(cache.completion["unreadable"].values()),
        normalised=facts["normalised"],
        encoder=facts["encoder"],
        not_known=facts["not_known"],
        told=work.told,
        seconds=time.monotonic() - began,
    )


def _prepared(asked: Asked, folder: Folder, reporter: Reporter) -> _Work:
    """Read all but the numbers, look at these once, and say what the cache will be made from."""
    source = asked.source.expanduser().resolve()
    format_name, arrays = open_arrays(source)
    roles = find_roles(arrays, asked.arrays)
    listed = list_rows(arrays, roles, asked)
    told = [*roles.told, *listed.told]
    dim = listed.embeddings.shape[1]
    texts = texts_in_source(arrays, roles, listed.class_names, dim, asked.logit_scale, told)
    recorded = manifest_of(arrays) if asked.model is None else None
    can_encode = asked.model is not None or (recorded is not None and is_known(recorded["identity"]["encoder"]))
    without_text = texts is None and not can_encode
    if without_text and asked.arrays.get(TEXTS) != NONE:
        raise DataError(
            f"{source} has no text embeddings: type --array text=NAME (or =FILE.npy) of an array (C, D), or --model "
            f"NAME, the encoder that made the embeddings, which then makes them; or --array text={NONE} for an encoder "
            "of images alone, to be joined with a cache that has text"
        )
    prompts = choose_prompts(OWN_PROMPTS, next(iter(OWN_PROMPTS)), asked.templates)
    prompts[1].expand(listed.class_names)  # what is wrong with them is said before any work
    values = look_at(listed.embeddings, reporter)
    if asked.on_error == "fail":
        refuse_bad(values, dict(listed.splits), str(source))
    encoder = _encoder(asked, recorded, needed=texts is None and not without_text)
    record = {**_record(encoder, recorded, dim), **({TEXT: False} if without_text else {})}
    if record["dim"] != dim:
        raise DataError(
            f"{source} has embeddings of {dim} numbers, and {record['architecture']} gives {record['dim']}: name the "
            "encoder that made them"
        )
    if (texts is None and not without_text) or asked.templates:
        assert encoder is not None
        given = prompts_told(arrays, len(listed.class_names)) if recorded and not asked.templates else None
        texts = texts_of(encoder, listed.class_names, prompts, given)
    known, missing = _known(asked, recorded)
    if texts is None:
        told.append("text: none, as of an encoder of images alone")
    elif not any(prompt for of_class in texts.prompts for prompt in of_class):
        missing = [*missing, "prompts"]
    facts = {
        "file": str(source),
        "format": format_name,
        "encoder": known,
        "not_known": missing,
        "normalised": values.normalised,
        "told": told,
    }
    dataset_name = recorded["identity"]["dataset"]["name"] if recorded else asked.cache_name
    identity = _identity(asked, str(dataset_name), listed, values, record)
    manifest = _manifest(asked.cache_name, identity, listed, facts, str(source), prompts)
    return _Work(listed, values, texts, manifest, told)


def _known(asked: Asked, recorded: Mapping[str, Any] | None) -> tuple[str, list[str]]:
    """How the encoder is known, and what is not known of the embeddings; an export says what its cache said."""
    if asked.model is not None:
        return SAID, ["transform", "precision"]
    if recorded is None:
        return UNKNOWN, ["encoder", "transform", "precision"]
    before = imported(recorded) or {"encoder": RECORDED, "not_known": []}
    return str(before["encoder"]), [what for what in before["not_known"] if what != "prompts"]


def _encoder(asked: Asked, recorded: Mapping[str, Any] | None, *, needed: bool) -> Encoder | None:
    """The encoder that was named, or where it has to make texts the one that the source records."""
    if asked.model is not None:
        from featcache.encoders.encoder import Encoder

        return Encoder.load(asked.model, asked.pretrained, device=asked.device, precision="fp32")
    if recorded is None or not needed:
        return None
    from featcache.extraction.add_text import load_text_encoder

    return load_text_encoder(recorded, device=asked.device)


def _record(encoder: Encoder | None, recorded: Mapping[str, Any] | None, dim: int) -> dict[str, Any]:
    """What the identity says of the encoder."""
    if recorded is not None:
        return dict(recorded["identity"]["encoder"])
    return unknown_encoder(dim) if encoder is None else {**encoder.identity, "origin": SAID}


def _identity(asked: Asked, dataset: str, listed: Listed, values: Values, encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that could change a number: the numbers themselves do."""
    as_come = "float16" if listed.embeddings.dtype == "float16" else "float32"
    return {
        "dataset": {
            "name": dataset,
            "class_names": list(listed.class_names),
            "rows": {split: len(part) for split, part in listed.splits.items()},
            "listing_sha256": listing_digest({name: (part.ids, part.labels) for name, part in listed.splits.items()}),
        },
        "encoder": dict(encoder),
        "views": None,
        "dtype": as_come if asked.dtype == "auto" else asked.dtype,
        "batch_size": BATCH,
        "device": UNKNOWN,
        "versions": {},
        "values_sha256": values.sha256,
        "empty_rows": len(values.bad),
    }


def _manifest(
    name: str,
    identity: dict[str, Any],
    listed: Listed,
    facts: Mapping[str, Any],
    source: str,
    prompts: tuple[str, PromptSpec],
) -> dict[str, Any]:
    rows = identity["dataset"]["rows"]
    bytes_per_row = 4 * listed.embeddings.shape[1]
    plan = ShardPlan.for_speed(rows, batch_size=BATCH, rows_per_second=ROWS_PER_SECOND, bytes_per_row=bytes_per_row)
    return {
        "format": FORMAT,
        "name": name,
        "created": now(),
        "digest": digest(identity),
        "identity": identity,
        "plan": {"rows": plan.rows, "rows_per_shard": plan.rows_per_shard, "rows_per_chunk": plan.rows_per_chunk},
        "request": {"images": {"location": source, "values_sha256": identity["values_sha256"]}},
        "provenance": {
            "card": None,
            "source": source,
            "licence": None,
            "split": dict(listed.origin),
            "class_names": listed.names_origin,
            "labels": list(listed.names),
            "left_out": {},
            "prompt_sets": {key: spec.to_json() for key, spec in {**OWN_PROMPTS, prompts[0]: prompts[1]}.items()},
            "default_prompts": prompts[0],
            "request": {},
            IMPORTED: dict(facts),
        },
    }


def _write(work: _Work, folder: Folder, reporter: Reporter) -> int:
    """Write what is missing; how many rows that were."""
    if not folder.exists(MANIFEST):
        write_sealed(folder, MANIFEST, work.manifest)
    splits = work.listed.splits
    store = CacheStore(folder, read_manifest(folder))
    store.prepare({name: (part.ids, part.labels) for name, part in splits.items()}, {})
    pending = {shard for name in splits for shard in store.pending(name)}
    index = TextIndex(folder)
    if work.texts and not index.has(work.texts.name, work.texts.prompts):
        index.write(work.texts.name, work.texts.prompts, work.texts.encoded, default=True)
    if pending:
        reporter.start(f"Writing {work.manifest['name']}", sum(map(len, pending)))
        for result in filled_shards(work.listed, work.values, store.plan, pending):
            store.write(result)
            reporter.advance(len(result.shard), len(result.bad))
    done = {
        "finished": now(),
        "rows": store.plan.rows,
        "unreadable": store.require_complete(),
        "labelled": {name: int((part.labels != UNLABELLED).sum()) for name, part in splits.items()},
        "files": store.digests(),
    }
    folder.consolidate()
    write_sealed(folder, COMPLETE, done | {"seconds": 0.0})
    return sum(map(len, pending))


def _reporting(progress: bool) -> AbstractContextManager[Reporter]:
    return StderrReporter() if progress else nullcontext(Silent())
