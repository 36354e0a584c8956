"""What open_clip knows by name, read without importing it: that imports torch, which takes seconds.

Its architectures are JSON files in its folder. Its pretrained tags stand in one module of plain data, which is run by
itself here; open_clip's own `__init__` is not. Where open_clip is imported already it is asked itself: a program may
have added architectures of its own to it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from featcache.errors import ModelError
from featcache.records import Malformed, checked, parse_json

_ALIAS = "featcache_open_clip"
"""The name under which its module of tags is run; as `open_clip` it would bring the rest along."""
_OPTIONAL = ("safetensors.torch", "huggingface_hub")
"""What that module imports for downloads, can do without, and takes most of the time."""
_PARTS = ("embed_dim", "vision_cfg", "text_cfg")
"""What open_clip asks of a configuration."""


def architectures() -> Mapping[str, dict[str, Any]]:
    """The configuration of every architecture, in open_clip's order.

    Raises:
        ModelError: A file of open_clip's is damaged.
    """
    if loaded := sys.modules.get("open_clip"):
        return {name: loaded.get_model_config(name) for name in loaded.list_models()}
    return _read_architectures()


def pretrained() -> Mapping[str, Mapping[str, dict[str, Any]]]:
    """For every architecture that has any, what open_clip keeps of each pretrained tag."""
    module = sys.modules.get("open_clip.pretrained") or _run_pretrained()
    tags: Mapping[str, Mapping[str, dict[str, Any]]] = module._PRETRAINED
    return tags


@cache
def _read_architectures() -> Mapping[str, dict[str, Any]]:
    found = {}
    for file in (_folder() / "model_configs").glob("*.json"):
        try:
            config = checked(parse_json(file.read_bytes()), dict[str, Any])
        except Malformed as error:
            raise ModelError(f"{file} is damaged: {error}; install open_clip_torch again") from error
        if all(part in config for part in _PARTS):
            found[file.stem] = config
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


@cache
def _run_pretrained() -> ModuleType:
    package = ModuleType(_ALIAS)
    package.__path__ = [str(_folder())]
    sys.modules[_ALIAS] = package  # its imports are relative to its package
    with _without(*_OPTIONAL):
        return import_module(f"{_ALIAS}.pretrained")


def _folder() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModelError("open_clip is not installed: pip install open_clip_torch")
    return Path(spec.origin).parent


def _natural(name: str) -> list[int | str]:
    """Numbers count as numbers: ViT-B-32 comes before ViT-B-116."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name.lower())]


@contextmanager
def _without(*modules: str) -> Iterator[None]:
    """Let imports of these fail inside the block."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]  # None is how an import is made to fail
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(before)
