"""The prompt set that a run is asked for: whether it is the cache's default one yet, and making it that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featcache.cache.reading import read_manifest
from featcache.cache.text_sets import TextIndex
from featcache.datasets.dataset import Dataset
from featcache.encoders.models import is_vision
from featcache.errors import PromptError
from featcache.extraction.request import Request, choose_prompts
from featcache.places.folder import Folder
from featcache.prompts import PromptSpec

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder


def requested_prompts(request: Request, dataset: Dataset) -> tuple[str, PromptSpec]:
    """Name and content of the prompt set that was asked for.

    Raises:
        PromptError: There is no such set, it does not fit the classes, or the encoder has no text.
    """
    if request.templates is not None and is_vision(request.model):
        raise PromptError(f"--templates given, and {request.model} encodes images alone: leave it out")
    name, spec = choose_prompts(dataset.prompts, dataset.default_prompts, request.templates)
    spec.expand(dataset.class_names)  # what is wrong with them is said before any work
    return name, spec


def prompts_missing(request: Request, dataset: Dataset, folder: Folder) -> bool:
    """Whether the prompt set asked for is not the default one yet; nothing is asked for without `--templates`.

    A data set without classes has no prompts, nor has an encoder of images alone.
    """
    if not dataset.class_names or is_vision(request.model):
        return False
    name, spec = requested_prompts(request, dataset)
    index = TextIndex(folder)
    if request.templates is None:
        return index.default is None
    return index.default != name or not index.has(name, spec.expand(dataset.class_names))


def add_prompts(request: Request, dataset: Dataset, folder: Folder, encoder: Encoder | None = None) -> None:
    """Make the prompt set the default one, encoding it if it is not there."""
    if not prompts_missing(request, dataset, folder):
        return
    from featcache.extraction.add_text import encode_prompts, load_text_encoder

    name, spec = requested_prompts(request, dataset)
    index, expanded = TextIndex(folder), spec.expand(dataset.class_names)
    if index.has(name, expanded):
        index.make_default(name)
        return
    if encoder is None:
        encoder = load_text_encoder(read_manifest(folder), device=request.device)
    index.write(name, expanded, encode_prompts(encoder, expanded), default=True)
