"""Class names and templates that a dependency ships: ImageNet's by open_clip, the flowers' by torchvision."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType


def imagenet_class_names() -> tuple[str, ...]:
    """(1000,) OpenAI's names, in the order of the sorted WordNet ids."""
    return tuple(_zero_shot_metadata().IMAGENET_CLASSNAMES)


def imagenet_templates(name: str) -> tuple[str, ...]:
    """OpenAI's templates, `{}` for the class: OPENAI_IMAGENET_TEMPLATES (80) or SIMPLE_IMAGENET_TEMPLATES (7)."""
    return tuple(template("{}") for template in getattr(_zero_shot_metadata(), name))


def flower_class_names() -> tuple[str, ...]:
    """(102,) names in the order of the labels in imagelabels.mat."""
    from torchvision.datasets import Flowers102  # imports torch

    return tuple(Flowers102.classes)


@functools.cache
def _zero_shot_metadata() -> ModuleType:
    """open_clip's module of names, loaded by its path: importing the package would import torch, this needs nothing."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).with_name("zero_shot_metadata.py")
    spec = importlib.util.spec_from_file_location("_open_clip_zero_shot_metadata", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
