"""`featcache text`: add a prompt set to a cache, or replace one, encoding nothing but text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from featcache.cache.reading import read_manifest
from featcache.cache.text_sets import EncodedPrompts, TextIndex
from featcache.datasets.given_class_names import read_class_names
from featcache.encoders.encoder import Encoder
from featcache.encoders.of_identity import encoder_of
from featcache.errors import CacheMismatch
from featcache.extraction.request import choose_prompts
from featcache.places.folder import Folder
from featcache.places.lock import writing
from featcache.prompts import PromptSpec


def add_prompt_set(
    folder: Folder,
    templates: str,
    *,
    name: str | None,
    default: bool,
    device: str,
    class_names: Path | None = None,
) -> dict[str, Any]:
    """Encode a prompt set with the cache's own encoder.

    Args:
        folder: The cache's.
        templates: A prompt set of the data set by name, or a file.
        name: What to call the set; default the name of the set or the file.
        default: Make it the set that readers get without naming one.
        device: Where to encode.
        class_names: A file of other words for the classes.

    Returns:
        `added` (the set's name), `default`, `sets`: prompts and classes of each, and `by_default`: classes that a file
        leaves out, which take the data set's own prompts.

    Raises:
        PromptError: No such set or file, or it does not fit the classes.
        CacheMismatch: The encoder's weights are not those that the images were encoded with.
    """
    manifest = read_manifest(folder)
    identity, provenance = manifest["identity"], manifest["provenance"]
    named = {key: PromptSpec.from_json(content) for key, content in provenance["prompt_sets"].items()}
    words = tuple(identity["dataset"]["class_names"])
    chosen, spec, by_default = choose_prompts(named, provenance["default_prompts"], templates, words)
    if class_names is not None:
        spec = replace(spec, class_names=read_class_names(class_names, words, provenance.get("labels", words)))
    spec.expand(words)  # fails here, before the encoder is loaded
    encoder = load_text_encoder(manifest, device=device)
    with writing(folder):
        index = TextIndex(folder)
        prompts = spec.expand(words)
        index.write(name or chosen, prompts, encode_prompts(encoder, prompts), default=default)
    sets = {"added": name or chosen, "default": index.names[0], "sets": index.summary()}
    return {**sets, "by_default": list(by_default)}


def encode_prompts(encoder: Encoder, prompts: Sequence[Sequence[str]]) -> EncodedPrompts:
    """Embed the prompts of each of C classes."""
    flat = encoder.encode_texts([prompt for of_class in prompts for prompt in of_class])
    features = np.full((len(prompts), max(map(len, prompts)), flat.shape[1]), np.nan, np.float32)
    start = 0
    for row, of_class in zip(features, prompts, strict=True):
        row[: len(of_class)] = flat[start : start + len(of_class)]
        start += len(of_class)
    weights = str(encoder.identity["weights_sha256"])
    return EncodedPrompts(features, encoder.logit_scale, encoder.logit_bias, weights)


def load_text_encoder(manifest: Mapping[str, Any], *, device: str) -> Encoder:
    """The encoder that made a cache's images, for texts; these are fp32 whatever the images were encoded in.

    Raises:
        CacheMismatch: Its weights are others now.
    """
    made_by = manifest["identity"]["encoder"]
    encoder = encoder_of(made_by, device=device, precision="fp32")
    if encoder.identity["weights_sha256"] != made_by["weights_sha256"]:
        message = f"the weights of {made_by['architecture']} ({made_by['pretrained']}) now differ from this cache's; "
        raise CacheMismatch(message + "extract it again under another --name")
    return encoder
