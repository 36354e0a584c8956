"""Every reader of a small file of ours or of others, as a function of the file's bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapters import head_files
from adapters.runs.catalogue import read_run
from adapters.tasks.index_files import read_index_file
from featcache.cache.reading import read_completion, read_manifest
from featcache.cache.text_sets import TextIndex
from featcache.datasets.given_class_names import read_class_names
from featcache.datasets.load import load_dataset
from featcache.places.folder import Folder
from featcache.prompts import read_prompts

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


READERS: dict[str, Reader] = {
    "manifest": _written("manifest.json", lambda path: read_manifest(Folder(str(path.parent)))),
    "completion": _written("complete.json", lambda path: read_completion(Folder(str(path.parent)))),
    "texts": _written("text/index.json", lambda path: TextIndex(Folder(str(path.parents[1])))),
    "config": _written("config.json", lambda path: head_files.read_config(path.parent)),
    "weights": _written("model.safetensors", _weights),
    "report": _written("metrics.json", lambda path: read_run(path.parent)),
    "indices": _written("indices.json", read_index_file),
    "csv": _written("listing.csv", lambda path: load_dataset(str(path))),
    "templates": _written("templates.txt", read_prompts),
    "templates as JSON": _written("templates.json", read_prompts),
    "class names": _written("names.txt", lambda path: read_class_names(path, ("a", "b"), ("x", "y"))),
}
