"""Names and templates that others ship: ImageNet's by open_clip, WordNet's by timm, the flowers' by torchvision."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def imagenet_class_names() -> tuple[str, ...]:
    """(1000,) OpenAI's names, in the order of the sorted WordNet ids."""
    return tuple(_zero_shot_metadata().IMAGENET_CLASSNAMES)


def imagenet_templates(name: str) -> tuple[str, ...]:
    """OpenAI's templates, `{}` for the class: OPENAI_IMAGENET_TEMPLATES (80) or SIMPLE_IMAGENET_TEMPLATES (7)."""
    return tuple(template("{}") for template in getattr(_zero_shot_metadata(), name))


def wordnet_names(ids: Iterable[str]) -> dict[str, str]:
    """Names of WordNet ids such as n01440764: OpenAI's for ImageNet's thousand, else WordNet's first lemma.

    Ids that neither knows are left out.
    """
    openai = dict(zip(_timm_list("imagenet_synsets.txt"), imagenet_class_names(), strict=True))
    lemmas = dict(line.split("\t", 1) for line in _timm_list("imagenet_synset_to_lemma.txt"))
    found = {each: openai.get(each) or lemmas.get(each, "").split(",")[0] for each in ids}
    return {each: name for each, name in found.items() if name}


def flower_class_names() -> tuple[str, ...]:
    """(102,) names in the order of the labels in imagelabels.mat."""
    from torchvision.datasets import Flowers102  # imports torch

    return tuple(Flowers102.classes)


def _timm_list(name: str) -> list[str]:
    return (_folder_of("timm") / "data" / "_info" / name).read_text(encoding="utf-8").splitlines()


@functools.cache
def _zero_shot_metadata() -> ModuleType:
    """open_clip's module of names, loaded by its path: importing the package would import torch, this needs nothing."""
    path = _folder_of("open_clip") / "zero_shot_metadata.py"
    spec = importlib.util.spec_from_file_location("_open_clip_zero_shot_metadata", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _folder_of(package: str) -> Path:
    """Where a package is installed, without importing it."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
