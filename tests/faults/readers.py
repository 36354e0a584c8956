"""Every reader of a small file of ours or of others, as a function of the file's bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapters import head_files
from adapters.bench.store import _read as read_cell
from adapters.runs.catalogue import read_run
from adapters.tasks.index_files import read_index_file
from featcache.cache.labels_file import read_labels_file
from featcache.cache.reading import read_completion, read_manifest
from featcache.cache.text_sets import TextIndex
from featcache.datasets.cards import read_card
from featcache.datasets.given_class_names import read_class_names
from featcache.datasets.load import load_dataset
from featcache.datasets.readers.folder import FolderReader
from featcache.datasets.sources.coop_split import list_coop_split
from featcache.encoders.models import describe
from featcache.places.folder import Folder
from featcache.prompts import read_prompts
from tests.layouts import write_tar

Reader = Callable[[Path, bytes], object]


def _written(name: str, read: Callable[[Path], object]) -> Reader:
    def reader(folder: Path, content: bytes) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return reader


def _weights(path: Path) -> object:
    """A head whose config vouches for the weights, so that it is their own header that is read."""
    import hashlib
    import json

    from featcache.records import sealed

    config = {
        "format": head_files.FORMAT, "format_version": 1, "package_version": "0", "method": "zero-shot", "class": "",
        "params": {}, "classes": [0], "arrays": {"text_": [1, 2]},
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }  # fmt: skip
    (path.parent / head_files.CONFIG).write_text(json.dumps(sealed(config)))
    return head_files.read_head(path.parent)


def _among_images(name: str) -> Reader:
    """A table in a folder of images, which is given as the data set."""

    def read(path: Path) -> object:
        for image in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
            (path.parent / image).parent.mkdir(exist_ok=True)
            (path.parent / image).write_bytes(b"")
        return load_dataset(str(path.parent))

    return _written(name, read)


def _given(name: str) -> Reader:
    return _written(name, lambda path: load_dataset(str(path), download_root=path.parent / "kept"))


def _classes_of_tars(path: Path) -> object:
    write_tar(path.parent / "train.tar", {"1.png": b"", "1.cls": b"0", "2.png": b"", "2.cls": b"1"})
    return load_dataset(str(path.parent), download_root=path.parents[1] / "kept")


def _sample_of_a_tar(folder: Path, content: bytes) -> object:
    tar = write_tar(folder / "set.tar", {"1.png": b"", "1.json": content, "2.png": b"", "2.cls": content})
    return load_dataset(str(tar), download_root=folder / "kept")


READERS: dict[str, Reader] = {
    "manifest": _written("manifest.json", lambda path: read_manifest(Folder(str(path.parent)))),
    "completion": _written("complete.json", lambda path: read_completion(Folder(str(path.parent)))),
    "texts": _written("text/index.json", lambda path: TextIndex(Folder(str(path.parents[1])))),
    "config": _written("config.json", lambda path: head_files.read_config(path.parent)),
    "weights": _written("model.safetensors", _weights),
    "report": _written("metrics.json", lambda path: read_run(path.parent)),
    "indices": _written("indices.json", read_index_file),
    "cell": _written("cell.json", read_cell),
    "card": _written("card.toml", read_card),
    "open_clip's configuration": _written("open_clip_config.json", lambda path: describe(str(path.parent))),
    "csv": _given("listing.csv"),
    "parquet": _given("listing.parquet"),
    "tar": _given("listing.tar"),
    "zip": _given("listing.zip"),
    "metadata.jsonl": _among_images("metadata.jsonl"),
    "metadata.csv": _among_images("metadata.csv"),
    "one-hot": _among_images("_classes.csv"),
    "classes of tars": _written("tars/classes.json", _classes_of_tars),
    "sample of a tar": _sample_of_a_tar,
    "split file": _written("split.json", lambda path: list_coop_split(path, FolderReader(path.parent))),
    "labels": _written("labels.csv", read_labels_file),
    "templates": _written("templates.txt", read_prompts),
    "templates as JSON": _written("templates.json", read_prompts),
    "class names": _written("names.txt", lambda path: read_class_names(path, ("a", "b"), ("x", "y"))),
}
