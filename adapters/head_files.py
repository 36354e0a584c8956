"""Fitted heads on disk: `config.json` beside `model.safetensors`; no pickle.

The config holds the format's version, the method, its hyper-parameters, the classes, the shapes and the SHA-256 of the
weights, whatever the caller adds (class names, the cache, metrics), and last `seal`, the SHA-256 of all that; configs
of older versions have none. Each file is written under another name and
moved into place, weights first: a config is only ever seen beside weights, and its digest tells whether they are
its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from adapters.errors import AdapterError, RunError
from featcache.errors import in_a_line
from featcache.places.turns import held
from featcache.places.whole import make_folder, remove_partial_files, write_whole
from featcache.records import SEAL, Malformed, checked, parse_json, sealed, unsealed
from featcache.version import package_version

FORMAT = "featcache-head"
FORMAT_VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Encoder(TypedDict):
    """What of a config's encoder is needed to load it again."""

    architecture: str
    pretrained: str
    precision: str
    weights_sha256: str
    transform_sha256: str
    joined: NotRequired[list[dict[str, Any]]]


class FittedOn(TypedDict):
    """The cache that a head was fitted on."""

    name: str
    digest: str
    batch_size: NotRequired[Annotated[int, Meta(ge=1, le=2**20)]]
    dtype: NotRequired[Literal["float16", "float32"]]


Config = TypedDict(
    "Config",
    {
        "format": str,
        "format_version": int,
        "package_version": str,
        "method": str,
        "class": str,
        "params": dict[str, Any],
        "classes": list[int | str | float | bool],
        "arrays": dict[str, list[int]],
        "weights_sha256": str,
        "temperature": NotRequired[Annotated[float, Meta(gt=0)]],
    },
)
"""What every config holds."""
_OWN = (*(key for key in Config.__annotations__ if key != "temperature"), SEAL)


class FromFit(TypedDict):
    """What the config of a run of `adapters fit` holds, too, in full or in part where it was saved from Python."""

    class_names: NotRequired[list[str]]
    encoder: NotRequired[Encoder]
    cache: NotRequired[FittedOn]
    dataset: NotRequired[str]


def write_head(
    folder: Path, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], extra: Mapping[str, Any]
) -> Path:
    """Write a fitted head's files; see `Head.save`.

    Args:
        folder: made if need be; other files in it stay.
        facts: what the head is: method, class, params, classes, temperature.
        arrays: fitted arrays by name.
        extra: JSON-able facts that the caller adds.

    Raises:
        AdapterError: `extra` is not JSON, or has a name that is taken.
        RunError: the folder cannot be written.
    """
    taken = sorted(set(extra) & set(_OWN))
    if taken:
        raise AdapterError(f"save() writes {', '.join(taken)} itself; use another name for what you add")
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    weights = save_tensors(whole)
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": package_version(),
        **facts,
        "arrays": {name: list(array.shape) for name, array in whole.items()},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **extra,
    }
    try:
        text = json.dumps(config, indent=2, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AdapterError(
            f"cannot save: the config is not JSON ({error}); add numbers, strings, lists and dicts"
        ) from error
    text = json.dumps(sealed(json.loads(text)), indent=2)
    try:
        make_folder(folder)
        with held(folder):
            remove_partial_files(folder)
            write_whole(folder / WEIGHTS, weights)
            write_whole(folder / CONFIG, (text + "\n").encode())
    except OSError as error:
        raise RunError(f"cannot write the head to {folder}: {error.strerror}; choose another folder") from error
    return folder


def read_head(folder: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The config and the fitted arrays of a saved head.

    Raises:
        RunError: nothing there, damaged, or from another format version.
    """
    config, path = read_config(folder), Path(folder) / WEIGHTS
    while True:
        try:
            weights = path.read_bytes()
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}; fit and save again") from error
        before, config = config, read_config(folder)
        if config == before:
            break  # else a head was saved here in between, and the weights are that one's or the other's
    if hashlib.sha256(weights).hexdigest() != config["weights_sha256"]:
        raise RunError(f"{path} does not belong to its {CONFIG} (SHA-256 differs); fit and save again")
    try:
        return config, load_tensors(weights)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise RunError(f"{path} is not a safetensors file ({in_a_line(error)}); fit and save again") from error


def read_config(folder: str | Path) -> dict[str, Any]:
    """The config of a saved head, without its weights.

    Raises:
        RunError: not a folder with a head of a format that this version reads.
    """
    path = Path(folder) / CONFIG
    try:
        config = unsealed(parse_json(path.read_bytes()))
    except FileNotFoundError as error:
        raise RunError(f"no saved head in {folder}: {CONFIG} is missing; give a folder that Head.save wrote") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except Malformed as error:
        raise RunError(f"{path} is damaged: {error}; fit and save again") from error
    if config.get("format") != FORMAT:
        raise RunError(f"{path} is not the config of a saved head; give a folder that Head.save wrote")
    if config.get("format_version") != FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {config.get('format_version')!r}; this featcache reads {FORMAT_VERSION}: "
            f"install featcache {config.get('package_version')} or fit again"
        )
    try:
        checked(config, Config)
        checked(config, FromFit)
    except Malformed as error:
        raise RunError(f"{path} is damaged: {error}; fit and save again") from error
    return config


def _plain(value: Any) -> Any:
    """JSON for NumPy scalars and arrays, and for paths."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
