"""Fitted heads on disk: `config.json` beside `model.safetensors`; no pickle.

The config holds the format's version, the method, its hyper-parameters, the classes, the shapes and the SHA-256 of the
weights, and whatever the caller adds (class names, the cache, metrics). Each file is written under another name and
moved into place, weights first: a config is only ever seen beside weights, and its digest tells whether they are
its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from adapters.errors import AdapterError, RunError
from featcache.version import package_version

if TYPE_CHECKING:
    from adapters.head import Head

FORMAT = "featcache-head"
FORMAT_VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_OWN = (
    "format",
    "format_version",
    "package_version",
    "method",
    "class",
    "params",
    "classes",
    "arrays",
    "weights_sha256",
)


class HasDigest(Protocol):
    """A cache, as far as a head must know it."""

    @property
    def digest(self) -> str:
        """What identifies its content."""


def save(head: Head, folder: Path, extra: dict[str, Any]) -> Path:
    """Write a fitted head; see `Head.save`."""
    taken = sorted(set(extra) & set(_OWN))
    if taken:
        raise AdapterError(f"save() writes {', '.join(taken)} itself; use another name for what you add")
    arrays = {name: np.ascontiguousarray(array) for name, array in head._arrays().items()}
    weights = save_tensors(arrays)
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": package_version(),
        "method": head.method,
        "class": type(head).__name__,
        "params": head.get_params(),
        "classes": head.classes_.tolist(),
        "temperature": head.temperature_,
        "arrays": {name: list(array.shape) for name, array in arrays.items()},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **extra,
    }
    try:
        text = json.dumps(config, indent=2, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AdapterError(
            f"cannot save: the config is not JSON ({error}); add numbers, strings, lists and dicts"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / WEIGHTS, weights)
        write_whole(folder / CONFIG, (text + "\n").encode())
    except OSError as error:
        raise RunError(f"cannot write the head to {folder}: {error.strerror}; choose another folder") from error
    return folder


def read_config(folder: str | Path) -> dict[str, Any]:
    """The config of a saved head, without its weights.

    Raises:
        RunError: not a folder with a head of a format that this version reads.
    """
    path = Path(folder) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"no saved head in {folder}: {CONFIG} is missing; give a folder that Head.save wrote") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path} is not JSON ({error}); the file is damaged: fit and save again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise RunError(f"{path} is not the config of a saved head; give a folder that Head.save wrote")
    if config.get("format_version") != FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {config.get('format_version')!r}; this featcache reads {FORMAT_VERSION}: "
            f"install featcache {config.get('package_version')} or fit again"
        )
    missing = [key for key in _OWN if key not in config]
    if missing:
        raise RunError(f"{path} lacks {', '.join(missing)}; the file is damaged: fit and save again")
    return config


def load(folder: str | Path, cache: HasDigest | None = None, *, device: str | None = None) -> Head:
    """A saved head, with what was saved beside it in `.config`.

    Args:
        folder: what `Head.save` wrote.
        cache: the cache that the head is about to be used on; it must be the one that the head was fitted on.
        device: where to run, in place of the device that it was fitted with.

    Raises:
        RunError: nothing there, damaged, from another format version, or fitted on another cache.
    """
    from adapters.methods import METHODS, get

    config = read_config(folder)
    if cache is not None:
        check_cache(config, cache, folder)
    if config["method"] not in METHODS:
        raise RunError(f"{folder} holds a head of method {config['method']!r}; this featcache has {', '.join(METHODS)}")
    head_class = get(config["method"])
    params = dict(config["params"])
    if device is not None and "device" in params:
        params["device"] = device
    try:
        head = head_class(**params)
    except TypeError as error:
        raise RunError(
            f"{folder}: {head_class.__name__} does not take its saved parameters ({error}); fit again"
        ) from error
    try:
        weights = (Path(folder) / WEIGHTS).read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {Path(folder) / WEIGHTS}: {error.strerror}; fit and save again") from error
    if hashlib.sha256(weights).hexdigest() != config["weights_sha256"]:
        raise RunError(
            f"{Path(folder) / WEIGHTS} does not belong to its {CONFIG} (SHA-256 differs); fit and save again"
        )
    try:
        head._restore(load_tensors(weights), np.asarray(config["classes"]))
    except (SafetensorError, KeyError) as error:
        raise RunError(f"{Path(folder) / WEIGHTS} is not the weights of {head_class.__name__} ({error})") from error
    head.temperature_ = float(config.get("temperature", 1.0))  # heads saved before there was calibration lack it
    head.config = config
    return head


def check_cache(config: dict[str, Any], cache: HasDigest, folder: str | Path) -> None:
    """Refuse a cache other than the one in a saved head's config.

    Raises:
        RunError: another cache, or a head that does not say which.
    """
    saved = config.get("cache")
    saved = saved if isinstance(saved, dict) else {}
    digest = saved.get("digest")
    if digest is None:
        raise RunError(f"the head in {folder} does not say which cache it was fitted on; load it without a cache")
    if digest != cache.digest:
        name, other = saved.get("name", "a cache"), getattr(cache, "name", "the cache")
        raise RunError(
            f"the head in {folder} was fitted on {name} (digest {digest}), not on {other} (digest {cache.digest}); "
            "use that cache, or fit on this one"
        )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner may read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _plain(value: Any) -> Any:
    """JSON for NumPy scalars and arrays, and for paths."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
