"""`featcache text`: add a prompt set to a cache, or replace one, encoding nothing but text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from featcache.cache.reading import read_manifest
from featcache.cache.text_sets import EncodedPrompts, TextIndex, no_classes
from featcache.datasets.given_class_names import read_class_names
from featcache.encoders.encoder import Encoder
from featcache.encoders.of_identity import MOVED, moved_encoder
from featcache.errors import CacheMismatch, PromptError
from featcache.extraction.request import choose_prompts
from featcache.origin import is_known
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
    model: str | None = None,
    pretrained: str | None = None,
) -> dict[str, Any]:
    """Encode a prompt set with the cache's own encoder.

    Args:
        folder: The cache's.
        templates: A prompt set of the data set by name, or a file.
        name: What to call the set; default the name of the set or the file.
        default: Make it the set that readers get without naming one.
        device: Where to encode.
        class_names: A file of other words for the classes.
        model: Where the cache's encoder is now, if its directory has moved.
        pretrained: Its weights likewise, if their file has.

    Returns:
        `added` (the set's name), `default`, `by_default` (classes without prompts of their own, which have those of the
        default), and `sets`: prompts and classes of each.

    Raises:
        PromptError: No such set or file, it does not fit the classes, or there are none.
        CacheMismatch: The encoder's weights are not those that the images were encoded with.
    """
    manifest = read_manifest(folder)
    identity, provenance = manifest["identity"], manifest["provenance"]
    named = {key: PromptSpec.from_json(content) for key, content in provenance["prompt_sets"].items()}
    chosen, spec = choose_prompts(named, provenance["default_prompts"], templates)
    words = tuple(identity["dataset"]["class_names"])
    if class_names is not None:
        spec = replace(spec, class_names=read_class_names(class_names, words, provenance.get("labels", words)))
    if not words:
        raise PromptError(no_classes(manifest["name"]))
    spec.expand(words)  # fails here, before the encoder is loaded
    encoder = load_text_encoder(manifest, device=device, model=model, pretrained=pretrained)
    with writing(folder):
        index = TextIndex(folder)
        prompts = spec.expand(words)
        index.write(name or chosen, prompts, encode_prompts(encoder, prompts), default=default)
    by_default = spec.left_out(words)
    return {"added": name or chosen, "default": index.names[0], "by_default": by_default, "sets": index.summary()}


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


def load_text_encoder(
    manifest: Mapping[str, Any], *, device: str, model: str | None = None, pretrained: str | None = None
) -> Encoder:
    """The encoder that made a cache's images, for texts; these are fp32 whatever the images were encoded in.

    Raises:
        CacheMismatch: Its weights are others now.
        ModelError: It cannot be loaded.
    """
    made_by = manifest["identity"]["encoder"]
    encoder = moved_encoder(made_by, "this cache", device=device, precision="fp32", model=model, pretrained=pretrained)
    if not is_known(made_by):
        if encoder.dim != made_by["dim"]:
            message = (
                f"{encoder.identity['architecture']} gives {encoder.dim} numbers, this cache has {made_by['dim']}; "
            )
            raise CacheMismatch(message + "name the encoder that made its embeddings")
        return encoder
    if encoder.identity["weights_sha256"] != made_by["weights_sha256"]:
        here, digests = encoder.identity, (made_by["weights_sha256"][:12], encoder.identity["weights_sha256"][:12])
        message = (
            f"{here['architecture']} ({here['pretrained']}) has weights {digests[1]}, this cache's are {digests[0]}; "
        )
        raise CacheMismatch(message + f"{MOVED}, or extract it again under another --name")
    return encoder
