"""featcache: run a frozen CLIP once and keep what it saw.

    >>> import featcache
    >>> cache = featcache.extract(model="ViT-B/16", dataset="eurosat")
    >>> cache["train"].images.shape, cache.text.weights().shape

Importing this package imports nothing but itself; opening a finished cache imports Zarr and NumPy, and only making
one imports torch and open_clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from featcache.datasets.readers.bounded import MOST_BYTES

if TYPE_CHECKING:
    from featcache.cache.catalogue import latest, list_caches
    from featcache.cache.catalogue import open_cache as open
    from featcache.cache.reading import Cache
    from featcache.cache.split import CachedSplit
    from featcache.cache.text_sets import TextFeatures
    from featcache.encoding.image_encoder import ImageEncoder

__all__ = ["Cache", "CachedSplit", "ImageEncoder", "TextFeatures", "extract", "latest", "list_caches", "open"]

_HOMES = {
    "Cache": ("featcache.cache.reading", "Cache"),
    "CachedSplit": ("featcache.cache.split", "CachedSplit"),
    "ImageEncoder": ("featcache.encoding.image_encoder", "ImageEncoder"),
    "TextFeatures": ("featcache.cache.text_sets", "TextFeatures"),
    "latest": ("featcache.cache.catalogue", "latest"),
    "list_caches": ("featcache.cache.catalogue", "list_caches"),
    "open": ("featcache.cache.catalogue", "open_cache"),
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `featcache --help` answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'featcache' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


def extract(
    model: str,
    dataset: str,
    *,
    pretrained: str | None = None,
    data_root: str | Path | None = None,
    splits: Sequence[str] | None = None,
    split_file: str | Path | None = None,
    class_names: str | Path | None = None,
    class_depth: int | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    image_dir: str | Path | None = None,
    suffix: str | None = None,
    templates: str | Path | None = None,
    views: int = 0,
    keep: str | None = None,
    precision: str = "auto",
    dtype: str = "float16",
    batch_size: int | Literal["auto"] | None = None,
    decode: Literal["exact", "fast"] = "exact",
    workers: int | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    limit: int | None = None,
    max_bytes: int = MOST_BYTES,
    check: bool | None = None,
    seed: int = 0,
    engine: str = "local",
    device: str = "auto",
    devices: str | None = None,
    address: str | None = None,
    root: str | Path | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Cache:
    """Run a frozen encoder once over a data set; continue what was begun, or open what is there already.

    After images have changed it makes another cache, `<name>-2`, and encodes what no cache under the root has.

    Args:
        model: open_clip's name (`ViT-B/16`), `tiny` (embedded), or a local open_clip model directory.
        dataset: A card's name (`featcache datasets`), a folder of class folders or of images without labels, a CSV or
            Parquet file of path,label[,split], tars, tables with images, a URL of these, or `hf:owner/name`; see
            docs/data.md.
        pretrained: A tag (`featcache models MODEL`), a checkpoint file, or `random`; default `openai`.
        data_root: Where the images are: a folder or a zip. Default: downloaded, where that is possible.
        splits: Only these splits.
        split_file: A CoOp split file (`split_zhou_*.json`); one that lies beside the images is found by itself.
        class_names: Class names to use instead of the data set's own, or for images without labels: a file, or
            `cat,dog`.
        class_depth: How many folders deep class folders lie. Default: 1, but where the folders there hold folders and
            no image, those that hold images are the classes.
        path_column: Of a table that lists images, the column of files; `label_column` and `split_column` likewise.
            Default: as they are called, where only one can be meant.
        label_column: See `path_column`.
        split_column: See `path_column`; `none`: the table has none.
        image_dir: The folder that a table's files are relative to. Default: the table's, or one below that has all.
        suffix: What the names of a table's files lack at their end, such as `.jpg`.
        templates: A prompt set of the data set, or a file of templates or of prompts per class.
        views: Augmented views of each training image, beside the centre view.
        keep: "pre-projection": also what comes before the image tower's last projection, and both towers' projections.
        precision: Of the encoder: auto (fp16 on CUDA, else fp32), fp32, fp16 or bf16.
        dtype: Of the stored embeddings: float16 or float32.
        batch_size: Images encoded together; default 32 on a CPU, 256 on a GPU. `auto` is the size that a short
            measurement finds fastest.
        decode: `fast` decodes JPEGs on the GPU, or at a fraction of their size on a CPU. The embeddings differ a little
            from open_clip's; the manifest keeps the measured cosine as `cosine_to_exact`.
        workers: Decoding processes; default one for each core but one, at most 8; beside a GPU one for each, at most
            16.
        on_error: What an unreadable image does: fail the run, or skip (its row stays empty and is listed).
        limit: At most this many rows of each split, class-balanced.
        max_bytes: Of an image's file; a larger one is unreadable.
        check: Whether to look at the headers of all images before any is encoded, so that unreadable ones are listed at
            once. None: where that takes under 5 % of the run, by a short measurement; not behind URLs.
        seed: Of `limit`, of augmentation, and of the split where the data set has none of its own.
        engine: Where to encode: `local` (this machine), or `ray` (a Ray cluster).
        device: auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.
        devices: Several of this machine, one process for each: `all` GPUs, or some, such as `0,1`. A script that gives
            it needs an `if __name__ == "__main__"`, since processes are spawned.
        address: Of the Ray cluster; default `$RAY_ADDRESS`, or the one that runs here, or a new one here.
        root: Where caches live: a folder or a URL; default `$FEATCACHE_HOME` or `~/.cache/featcache`.
        name: The cache's name; default made from data set and model.
        progress: Report on standard error.

    Returns:
        The finished cache.

    Raises:
        FeatcacheError: One of its kinds, see `featcache.errors`.
    """
    from featcache.extraction.extract import run_extraction
    from featcache.extraction.request import Request

    request = Request(
        model=model,
        dataset=dataset,
        pretrained=pretrained,
        data_root=data_root,
        splits=splits,
        split_file=split_file,
        class_names=class_names,
        class_depth=class_depth,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        image_dir=image_dir,
        suffix=suffix,
        templates=templates,
        views=views,
        keep=keep,
        precision=precision,
        dtype=dtype,
        batch_size=batch_size,
        decode=decode,
        workers=workers,
        on_error=on_error,
        limit=limit,
        max_bytes=max_bytes,
        check=check,
        seed=seed,
        engine=engine,
        device=device,
        devices=devices,
        address=address,
        root=root,
        name=name,
    )
    return run_extraction(request, progress=progress).cache
