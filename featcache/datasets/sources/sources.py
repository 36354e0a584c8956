"""The sources in the order in which they are asked: what `--dataset` takes beside the names of `featcache datasets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from featcache.errors import DataError
from featcache.named import Named

if TYPE_CHECKING:
    from featcache.datasets.sources.source import Asked, Source


EMBEDDINGS, CLIP_RETRIEVAL = (".npy", ".npz", ".safetensors"), "img_emb"
"""How files of embeddings end, and the folder in which clip-retrieval leaves them."""


class Entry(NamedTuple):
    """A source in the list; what it is stands here, so that help need not import it.

    Attributes:
        home: Where the source is, `module:attribute`.
        typed: What one types, in short, for errors: "a .csv"; empty where another source's says so.
        meaning: What it is, for help.
    """

    home: str
    typed: str
    meaning: str


ENTRIES = {
    "onehot": Entry(
        "featcache.datasets.sources.tables.onehot_file:ONEHOT_FILE",
        "",
        "a folder of images with _classes.csv, or such a CSV: filename and a column for each class, one 1 a row",
    ),
    "csv": Entry(
        "featcache.datasets.sources.tables.csv_file:CSV",
        "a .csv",
        "a CSV (or .tsv) with columns of files, labels and optionally splits, here or behind a URL",
    ),
    "annotations": Entry(
        "featcache.datasets.sources.annotations:ANNOTATIONS",
        "an export of labels (.json, .xml)",
        "an export of one label an image by COCO's tools, Label Studio, FiftyOne (.json) or CVAT (.xml)",
    ),
    "tars": Entry(
        "featcache.datasets.sources.tars:TARS",
        "a .tar",
        "tars by WebDataset or img2dataset, or of class folders: a folder or URL of them, shard-{000..009}.tar",
    ),
    "tables": Entry(
        "featcache.datasets.sources.image_tables:IMAGE_TABLES",
        "a .parquet",
        "Parquet files with an image column, a file or a folder, or a folder by `datasets`' save_to_disk",
    ),
    "listing": Entry(
        "featcache.datasets.sources.tables.parquet_listing:PARQUET_LISTING",
        "",
        "a Parquet file with the columns of such a CSV, for very many rows",
    ),
    "metadata": Entry(
        "featcache.datasets.sources.tables.metadata_file:METADATA_FILE",
        "a folder with metadata.csv",
        "a folder of images with metadata.csv, .jsonl or .parquet: file_name and label",
    ),
    "cub": Entry(
        "featcache.datasets.sources.cub_lists:CUB_LISTS",
        "",
        "a folder as CUB-200's: images.txt, image_class_labels.txt, classes.txt and images/",
    ),
    "folders": Entry(
        "featcache.datasets.sources.class_folders:CLASS_FOLDERS",
        "a folder or .zip of class folders",
        "a folder of class folders, optionally under train/val/test, here or behind a URL, or a zip of them",
    ),
    "hub": Entry(
        "featcache.datasets.sources.hub:HUB",
        "hf:owner/name",
        "a data set of the Hugging Face hub: hf:owner/name[@revision][:configuration]",
    ),
}
"""The list. The first source that recognises what was typed opens it."""

SOURCES: Named[Source] = Named("source", {name: entry.home for name, entry in ENTRIES.items()}, DataError)
"""The sources by name."""


def what_can_be_given() -> str:
    """All sources, as an error offers them."""
    *kinds, last = (entry.typed for entry in ENTRIES.values() if entry.typed)
    return f"{', '.join(kinds)} or {last}"


def source_of(asked: Asked) -> Source:
    """The first source that recognises what was typed.

    Raises:
        DataError: None does.
    """
    if _holds_embeddings(asked):
        raise DataError(f"{asked.where} holds embeddings, not images: type `featcache import {asked.dataset}`")
    for source in SOURCES.values():
        if source.recognises(asked):
            return source
    problem = "is nothing that can be opened" if asked.exists else "does not exist"
    raise DataError(f"{asked.where if asked.exists else asked.dataset} {problem}: give {what_can_be_given()}")


def _holds_embeddings(asked: Asked) -> bool:
    """Whether it is what `featcache import` takes, and no source."""
    if asked.is_url or not asked.exists:
        return False
    return asked.suffix in EMBEDDINGS or (asked.path / CLIP_RETRIEVAL).is_dir()
