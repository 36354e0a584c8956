"""`verify`: prove from the store itself that a cache is complete and undamaged, and still what the encoder says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from featcache.cache import read_manifest
from featcache.listing import decode_ids, listing_digest
from featcache.lock import writing
from featcache.manifest import require_equal
from featcache.plan import Shard, ShardPlan
from featcache.storage import Folder, array_in
from featcache.store import ENCODED, MISSING, UNREADABLE, CacheStore
from featcache.text import TextIndex

if TYPE_CHECKING:
    from featcache.datasets import Dataset
    from featcache.encoder import Encoder

COSINE_TOLERANCE = 1e-3  # of 1 - cosine: other machines and precisions round differently, other images do not


@dataclass
class Verification:
    """What was found.

    Attributes:
        rows: Rows checked, of each split.
        problems: One line each; empty means that the cache is complete and undamaged.
        damaged: Shards to encode again.
        sampled: Rows that were encoded again.
        identical: Of those, rows that came out the same bit for bit.
        largest_difference: Largest 1 - cosine between stored and new embedding; None without a sample.
        repaired: Whether the damaged shards were forgotten.
    """

    rows: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    damaged: list[Shard] = field(default_factory=list)
    sampled: int = 0
    identical: int = 0
    largest_difference: float | None = None
    repaired: bool = False

    def to_json(self) -> dict[str, Any]:
        """The object that `featcache verify --json` prints."""
        return {
            "ok": not self.problems,
            "rows": self.rows,
            "problems": self.problems,
            "damaged_rows": sum(map(len, self.damaged)),
            "sampled": self.sampled,
            "identical": self.identical,
            "largest_difference": self.largest_difference,
            "repaired": self.repaired,
        }


def verify(
    folder: Folder,
    *,
    sample: int = 64,
    data_root: str | Path | None = None,
    repair: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Verification:
    """Check a cache from end to end.

    Args:
        folder: The cache's.
        sample: Rows to encode again; 0 needs neither the encoder nor the images.
        data_root: Where the images are, if they moved since.
        repair: Forget damaged shards, so that the same `extract` command encodes them again.
        seed: Chooses the sample.
        device: Where to encode.

    Raises:
        DataError, ModelError: The images or the encoder cannot be found any more.
        CacheMismatch: They can, but are not those that made the cache.
    """
    found = verify_store(folder)
    if sample and not found.damaged:
        from featcache.encoder import Encoder

        made_by = read_manifest(folder)["identity"]["encoder"]
        dataset = original_dataset(folder, data_root)
        encoder = Encoder.load(
            made_by["architecture"], made_by["pretrained"], device=device, precision=made_by["precision"]
        )
        verify_sample(folder, found, encoder, dataset, rows=sample, seed=seed)
    if repair and found.damaged:
        forget_damaged(folder, found)
        found.repaired = True
    return found


def verify_store(folder: Folder) -> Verification:
    """Check every row of every array: completeness, checksums, and the listing's digest.

    Reads the whole cache once; loads no encoder.
    """
    manifest = read_manifest(folder)
    plan = ShardPlan.from_manifest(manifest)
    group = folder.group("r")
    found = Verification(rows=dict(plan.rows))
    listing = {}
    for split in plan.rows:
        for shard in plan.shards(split):
            if problem := _shard_problem(group, shard):
                found.problems.append(f"{split} rows {shard.start}-{shard.stop - 1}: {problem}")
                found.damaged.append(shard)
        try:
            ids = [str(name) for name in decode_ids(np.asarray(array_in(group, split, "ids")[:]))]
            listing[split] = (ids, np.asarray(array_in(group, split, "labels")[:]))
        except (ValueError, KeyError, UnicodeDecodeError, RuntimeError) as error:
            found.problems.append(f"{split}: ids or labels cannot be read ({error})")
    if listing_digest(listing) != manifest["identity"]["dataset"]["listing_sha256"]:
        found.problems.append("ids and labels are not those of the listing that the manifest names")
    found.problems += _text_problems(folder, manifest)
    if not folder.exists("complete.json"):
        found.problems.append("the cache is unfinished: type the same `featcache extract` command again")
    return found


def verify_sample(
    folder: Folder, found: Verification, encoder: Encoder, dataset: Dataset, *, rows: int, seed: int
) -> None:
    """Encode randomly chosen batches of about `rows` rows again and compare them with the store.

    Whole batches, composed as they were: on the machine that made the cache the bits come out the same.

    Raises:
        CacheMismatch: The encoder or the listing is not the cache's own.
    """
    from featcache.engine import Job, encode_batch
    from featcache.listing import encode_ids
    from featcache.pixels import load_batches
    from featcache.request import dataset_identity

    manifest = read_manifest(folder)
    identity, plan = manifest["identity"], ShardPlan.from_manifest(manifest)
    now = {"dataset": dataset_identity(dataset), "encoder": dict(encoder.identity)}
    require_equal({key: identity[key] for key in now}, now, manifest["name"])
    views = {identity["views"]["split"]: identity["views"]["count"]} if identity["views"] else {}
    job = Job(
        encoder=encoder,
        reader=dataset.reader,
        ids={split: encode_ids(part.ids) for split, part in dataset.splits.items()},
        plan=plan,
        views=views,
        view_seed=identity["views"]["seed"] if identity["views"] else 0,
        on_error="skip",
        workers=0,
    )
    batches = _sample_batches(plan, rows, seed)
    group = folder.group("r")
    for (split, part), batch in zip(batches, load_batches(job.rows(batches), workers=0, pin_memory=False), strict=True):
        where = slice(part.start, part.stop)
        stored = np.asarray(array_in(group, split, "images")[where])[:, None]
        if split in views:
            stored = np.concatenate([stored, np.asarray(array_in(group, split, "views")[where])], axis=1)
        _compare(found, split, part, stored, encode_batch(job, batch))


def forget_damaged(folder: Folder, found: Verification) -> None:
    """Mark damaged shards as not done, so that the same `extract` command encodes them again."""
    manifest = read_manifest(folder)
    identity = manifest["identity"]
    with writing(folder):
        plan = ShardPlan.from_manifest(manifest)
        store = CacheStore(folder, plan, dim=identity["encoder"]["dim"], dtype=identity["dtype"])
        for shard in found.damaged:
            store.forget(shard)


def _shard_problem(group: zarr.Group, shard: Shard) -> str | None:
    rows = slice(shard.start, shard.stop)
    try:
        state = np.asarray(array_in(group, shard.split, "state")[rows])
        names = ["images", *(["views"] if f"{shard.split}/views" in group else [])]
        stored = {name: np.asarray(array_in(group, shard.split, name)[rows]) for name in names}
    except (ValueError, KeyError, RuntimeError) as error:  # zarr raises ValueError where a checksum does not fit
        return f"damaged ({error})"
    if (state == MISSING).any():
        return f"{int((state == MISSING).sum())} rows missing"
    for name, values in stored.items():
        empty = np.isnan(values).reshape(len(values), -1)
        if not np.isfinite(values[state == ENCODED]).all():
            return f"{name} has rows that are marked as encoded and hold no numbers"
        if not empty[state == UNREADABLE].all():
            return f"{name} has rows that are marked as unreadable and hold numbers"
    return None


def _text_problems(folder: Folder, manifest: Mapping[str, Any]) -> Iterator[str]:
    index = TextIndex(folder)
    if not index.names:
        yield "there are no class-text embeddings: type the same `featcache extract` command again"
    for name in index.names:
        try:
            text = index.read(tuple(manifest["identity"]["dataset"]["class_names"]), name)
        except (ValueError, KeyError, RuntimeError) as error:
            yield f"prompt set {name}: damaged ({error}); type `featcache text` to encode it again"
            continue
        for row, prompts in zip(text.features, text.prompts, strict=True):
            if not np.isfinite(row[: len(prompts)]).all():
                yield f"prompt set {name}: embeddings are missing"
                break


def _sample_batches(plan: ShardPlan, rows: int, seed: int) -> list[tuple[str, range]]:
    batches = [(split, part) for split in plan.rows for shard in plan.shards(split) for part in plan.batches(shard)]
    count = min(len(batches), -(-rows // plan.batch_size))
    chosen = np.random.default_rng(seed).choice(len(batches), size=count, replace=False)
    return [batches[index] for index in sorted(chosen)]


def _compare(found: Verification, split: str, rows: range, stored: np.ndarray, fresh: np.ndarray) -> None:
    """Compare (B, 1 + V, D) stored and freshly encoded embeddings row by row."""
    same = np.array([a.tobytes() == b.tobytes() for a, b in zip(stored, fresh.astype(stored.dtype), strict=True)])
    found.sampled += len(rows)
    found.identical += int(same.sum())
    a, b = stored.astype(np.float64), fresh.astype(np.float64)
    if (np.isnan(a) != np.isnan(b)).any():
        found.problems.append(f"{split} rows {rows.start}-{rows.stop - 1}: other images are readable now than then")
        return
    cosine = (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)
    difference = float(np.nanmax(1 - cosine, initial=0.0))
    found.largest_difference = max(found.largest_difference or 0.0, difference)
    if difference > COSINE_TOLERANCE:
        worst = rows[int(np.nanargmax((1 - cosine).max(axis=1)))]
        found.problems.append(f"{split} row {worst}: 1 - cosine to the stored embedding is {difference:.2g}")


def original_dataset(folder: Folder, data_root: str | Path | None) -> Dataset:
    """List the data set again as the cache's first run was asked to, with the images possibly elsewhere."""
    from featcache.request import Request

    manifest = read_manifest(folder)
    asked = dict(manifest["provenance"]["request"])
    if data_root:
        asked["data_root"] = str(data_root)
    return Request(model=manifest["identity"]["encoder"]["architecture"], **asked).load_dataset()
