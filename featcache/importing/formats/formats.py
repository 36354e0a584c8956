"""The formats in the order in which they are asked: what `featcache import` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from featcache.errors import DataError
from featcache.importing.formats.arrays import Arrays
from featcache.importing.formats.clip_retrieval import open_clip_retrieval
from featcache.importing.formats.clip_retrieval import recognises as is_clip_retrieval
from featcache.importing.formats.npy import open_npy
from featcache.importing.formats.npy import recognises as is_npy
from featcache.importing.formats.npz import open_npz
from featcache.importing.formats.npz import recognises as is_npz
from featcache.importing.formats.parquet import open_parquet_files
from featcache.importing.formats.parquet import recognises as is_parquet
from featcache.importing.formats.safetensors_file import open_safetensors
from featcache.importing.formats.safetensors_file import recognises as is_safetensors

PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".joblib")


class Format(NamedTuple):
    """A kind of file or folder that holds arrays.

    Attributes:
        meaning: What it is, for help.
        recognises: Whether a path that exists is one.
        open: What it holds. Raises DataError where it is damaged.
    """

    meaning: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path], Arrays]


FORMATS = {
    "clip-retrieval": Format(
        "clip-retrieval's folder: img_emb/*.npy and metadata/*.parquet", is_clip_retrieval, open_clip_retrieval
    ),
    "npz": Format("a .npz of arrays", is_npz, open_npz),
    "npy": Format("a .npy, or a folder of them, with lists in .txt", is_npy, open_npy),
    "parquet": Format("a .parquet with a column of lists, or a folder of such", is_parquet, open_parquet_files),
    "safetensors": Format("a .safetensors", is_safetensors, open_safetensors),
}
"""The list. The first format that recognises the path opens it."""


def open_arrays(path: Path) -> tuple[str, Arrays]:
    """The name of a path's format, and what it holds.

    Raises:
        DataError: It does not exist, is of no such format, or is damaged.
    """
    expected = "; ".join(each.meaning for each in FORMATS.values())
    if not path.exists():
        raise DataError(f"{path} does not exist: give {expected}")
    if path.suffix.lower() in PICKLED:
        raise DataError(
            f"{path} is a pickle, which runs what is in it when it is opened: where you trust it, save its arrays with "
            "np.savez('features.npz', embeddings=…, labels=…), and give that"
        )
    for name, each in FORMATS.items():
        if each.recognises(path):
            return name, each.open(path)
    raise DataError(f"{path} holds no embeddings that can be read: give {expected}")
