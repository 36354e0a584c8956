"""Safetensors: a header that says where each tensor lies, and the tensors, each written a block of rows at a time.

The library itself writes tensors that are in memory. Text is no tensor there: ids are UTF-8, padded with zero bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from featcache.array_names import EMBEDDINGS, IDS, LABELS, TEXT
from featcache.exporting.content import Content
from featcache.exporting.formats.formats import Told

_NAMES = {"float16": "F16", "float32": "F32", "int64": "I64", "uint8": "U8"}
_ALIGNED = 8
"""Bytes that the header is a multiple of, so that tensors can be mapped into memory."""


class _Tensor(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    parts: Iterable[np.ndarray]


def write_safetensors(content: Content, path: Path, told: Told) -> None:
    """Write a cache as tensors of each split, and `text` (C, T, D), NaN where there is no prompt."""
    tensors: dict[str, _Tensor] = {}
    for split, rows in content.rows.items():
        embeddings = _told(content, split, told)
        tensors[f"{split}.{EMBEDDINGS}"] = _Tensor((rows, content.dim), content.dtype, embeddings)
        labels = (block.labels for block in content.blocks(split))
        tensors[f"{split}.{LABELS}"] = _Tensor((rows,), np.dtype("int64"), labels)
        width = content.id_bytes[split]
        tensors[f"{split}.{IDS}"] = _Tensor((rows, width), np.dtype("uint8"), _ids(content, split, width))
    features = content.text.features
    tensors[TEXT] = _Tensor(features.shape, features.dtype, [features])
    header, place = {"__metadata__": content.facts()}, 0
    for name, tensor in tensors.items():
        end = place + math.prod(tensor.shape) * tensor.dtype.itemsize
        about = {"dtype": _NAMES[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": [place, end]}
        header[name], place = about, end  # type: ignore[assignment]
    encoded = json.dumps(header, ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % _ALIGNED)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for tensor in tensors.values():
            for part in tensor.parts:
                file.write(np.ascontiguousarray(part, tensor.dtype.newbyteorder("<")).tobytes())


def _told(content: Content, split: str, told: Told) -> Iterator[np.ndarray]:
    for block in content.blocks(split):
        yield block.embeddings
        told(len(block.ids))


def _ids(content: Content, split: str, width: int) -> Iterator[np.ndarray]:
    for block in content.blocks(split):
        padded = block.ids.padded
        yield np.pad(padded, ((0, 0), (0, width - padded.shape[1])))
