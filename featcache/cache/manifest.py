"""What a cache is made from: the manifest, its digest, and the difference between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from featcache.errors import CacheError, CacheMismatch
from featcache.records import canonical_json

FORMAT, BEFORE = "featcache/2", "featcache/1"
"""The format of new caches, and the one before: it opens, and continues as it was begun."""

# What a digest is of, in a message: the digests themselves tell a reader nothing.
_DIGESTS = {
    "dataset.listing_sha256": "the images or their labels",
    "values_sha256": "the embeddings",
    "images.sizes_sha256": "the images' file sizes",
    "weights_file_sha256": "the weights",
    "encoder.weights_sha256": "the weights",
    "encoder.transform_sha256": "the transforms",
}


Rows = Annotated[int, Meta(ge=0, le=2**48)]
Size = Annotated[int, Meta(ge=1, le=2**48)]
"""Counts that a machine may hold: others would be counted to for ever."""


class DatasetRecord(TypedDict):
    """What an identity says of the data set."""

    name: str
    class_names: list[str]
    rows: dict[str, Rows]
    listing_sha256: str


class EncoderRecord(TypedDict):
    """What an identity says of the encoder."""

    architecture: str
    pretrained: str
    weights_sha256: str
    quick_gelu: bool | None
    image_size: int | list[int] | None
    dim: Size
    transform: str
    transform_sha256: str
    precision: str
    precision_by: NotRequired[str]
    origin: NotRequired[str]
    text: NotRequired[bool]


class ViewsRecord(TypedDict):
    """What an identity says of augmented views."""

    split: str
    count: Rows


class PreProjectionRecord(TypedDict):
    """What an identity says of what is kept from before the last projection."""

    width: Size
    projections_sha256: str


class Identity(TypedDict):
    """Everything that could change a number."""

    dataset: DatasetRecord
    encoder: EncoderRecord
    views: ViewsRecord | None
    pre_projection: NotRequired[PreProjectionRecord]
    dtype: Literal["float16", "float32"]
    batch_size: Size
    device: str
    versions: dict[str, str]


class Plan(TypedDict):
    """The cut into shards."""

    rows: dict[str, Rows]
    rows_per_shard: Size
    seals: NotRequired[bool]


class Manifest(TypedDict):
    """What of a manifest this version reads; docs/format.md says what else there is."""

    format: str
    name: str
    created: str
    digest: str
    identity: Identity
    plan: Plan
    request: dict[str, Any]
    provenance: dict[str, Any]


class Completion(TypedDict):
    """`complete.json`."""

    finished: str
    rows: dict[str, int]
    unreadable: dict[str, int]
    seconds: float
    files: NotRequired[dict[str, str]]
    labelled: NotRequired[dict[str, int]]


class PromptSetRecord(TypedDict):
    """One prompt set in the index of texts."""

    group: str
    digest: str
    prompts: list[list[str]]
    logit_scale: float
    logit_bias: float | None
    weights_sha256: str
    features_sha256: NotRequired[str]


class TextIndexRecord(TypedDict):
    """`text/index.json`."""

    default: str | None
    sets: dict[str, PromptSetRecord]


_LIBRARIES = ("featcache", "torch", "torchvision", "open_clip_torch", "pillow", "numpy")


def library_versions() -> dict[str, str]:
    """Versions of everything that could change an embedding."""
    return {name: version(name) for name in _LIBRARIES}


def check_format(manifest: Mapping[str, Any], where: str) -> None:
    """Refuse a manifest of a format that this version does not know.

    Raises:
        CacheError: The manifest is of another format.
    """
    if manifest.get("format") not in (FORMAT, BEFORE):
        message = f"{where} has format {manifest.get('format')!r}, this version reads {FORMAT!r} and {BEFORE!r}; "
        raise CacheError(message + "use the featcache version that wrote it, or extract again under another --name")


PRE_PROJECTION = "pre_projection"
"""In an identity: that features from before the last projection are kept."""


def pre_width(identity: Mapping[str, Any]) -> int:
    """P, how many numbers from before the last projection are kept of each image, of an `identity`; 0: none."""
    return int(identity[PRE_PROJECTION]["width"]) if PRE_PROJECTION in identity else 0


def views_of(identity: Mapping[str, Any]) -> dict[str, int]:
    """Augmented views of each split that has any, of an `identity`."""
    views = identity["views"]
    return {views["split"]: views["count"]} if views else {}


def different(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every leaf where two JSON values differ: its key, such as `dataset.rows`, and both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from different(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif old != new:
        yield key, old, new


def differences(old: Any, new: Any) -> Iterator[str]:
    """Yield one phrase for every leaf where two JSON values differ."""
    for key, before, now in different(old, new):
        if key.endswith("sha256"):
            yield f"{_DIGESTS.get(key, key)} differ"
        else:
            yield f"{key} is {_short(before)} in the cache and {_short(now)} in this run"


def require_equal(old: Mapping[str, Any], new: Mapping[str, Any], cache: str) -> None:
    """Refuse to go on with a cache that was made from something different.

    Raises:
        CacheMismatch: Names up to three differences.
    """
    found = list(differences(old, new))
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        message = f"the cache {cache} was made from something different: {'; '.join(found[:3])}{more}; "
        if all("class_names" in phrase for phrase in found):
            advice = (
                f"other words for the classes need only text: `featcache text {cache} --templates … --class-names FILE`"
            )
        else:
            advice = "type --name NEWNAME for a second cache, or give what the first run was given"
        raise CacheMismatch(message + advice)


def _short(value: Any) -> str:
    text = "absent" if value is None else value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
