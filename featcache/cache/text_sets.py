"""Class-text embeddings: named prompt sets beside the images, replaced without touching them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.codecs import Crc32cCodec

from featcache.cache.manifest import digest
from featcache.cache.writing import DAMAGE
from featcache.errors import CacheError, CacheIncomplete
from featcache.places.folder import Folder, array_in, check_name

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder
    from featcache.prompts import PromptSpec

INDEX = "text/index.json"


@dataclass(frozen=True)
class TextFeatures:
    """What the text encoder saw of the class names.

    Attributes:
        name: The prompt set's name.
        features: (C, T, D) float32 as the encoder gave them; NaN where a class has fewer than T prompts.
        class_names: C names.
        prompts: C tuples of prompts.
        logit_scale: The model's learnt scale, exponentiated (100 for OpenAI's models).
        logit_bias: The model's learnt bias, or None.
    """

    name: str
    features: np.ndarray
    class_names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    logit_scale: float
    logit_bias: float | None

    def weights(self) -> np.ndarray:
        """(C, D) unit rows: normalise each prompt's embedding, average over a class's prompts, normalise.

        The order of Tip-Adapter and of open_clip's `build_zero_shot_classifier`.
        """
        present = ~np.isnan(self.features[:, :, :1])
        filled = np.where(present, self.features, 0.0)
        unit = filled / np.maximum(np.linalg.norm(filled, axis=-1, keepdims=True), 1e-12)
        mean = unit.sum(axis=1) / present.sum(axis=1)
        return np.asarray(mean / np.linalg.norm(mean, axis=-1, keepdims=True), dtype=np.float32)


class TextIndex:
    """The prompt sets of one cache and which of them is the default."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._index: dict[str, Any] = folder.read_json(INDEX) if folder.exists(INDEX) else {"default": None, "sets": {}}

    @property
    def names(self) -> tuple[str, ...]:
        """All prompt sets, the default one first."""
        return tuple(sorted(self._index["sets"], key=lambda name: (name != self._index["default"], name)))

    def has(self, name: str, prompts: Sequence[Sequence[str]]) -> bool:
        """Whether the set exists with exactly these prompts."""
        return bool(self._index["sets"].get(name, {}).get("digest") == digest(prompts))

    @property
    def default(self) -> str | None:
        """The set that readers get without naming one; None while there is none."""
        return None if self._index["default"] is None else str(self._index["default"])

    def make_default(self, name: str) -> None:
        """Let readers get this set without naming one."""
        self._index["default"] = name
        self._folder.write_json(INDEX, self._index)

    def forget(self, name: str) -> None:
        """Remove a set, so that the next `extract` or `text` encodes it again."""
        group = self._index["sets"].pop(name)["group"]
        if self._index["default"] == name:
            self._index["default"] = next(iter(self._index["sets"]), None)
        self._folder.write_json(INDEX, self._index)
        self._folder.remove(group)

    def read(self, class_names: tuple[str, ...], name: str | None = None) -> TextFeatures:
        """Read one set (None: the default).

        Raises:
            CacheError: There is no such set, or it is damaged.
        """
        chosen = name or self._index["default"]
        if chosen not in self._index["sets"]:
            known = ", ".join(self.names) or "none yet"
            message = f"no prompt set {chosen!r} in {self._folder.location}; there are: {known}; "
            raise CacheError(message + "type `featcache text CACHE --templates FILE` to add one")
        entry = self._index["sets"][chosen]
        try:
            features = np.asarray(array_in(self._folder.group("r"), entry["group"], "features")[:])
        except DAMAGE as error:
            message = f"the prompt set {chosen} in {self._folder.location} is damaged ({error}); type "
            raise CacheIncomplete(message + f"`featcache verify {self._folder.location} --repair`") from error
        return TextFeatures(
            name=chosen,
            features=features,
            class_names=class_names,
            prompts=tuple(tuple(prompts) for prompts in entry["prompts"]),
            logit_scale=entry["logit_scale"],
            logit_bias=entry["logit_bias"],
        )

    def write(
        self, name: str, spec: PromptSpec, class_names: Sequence[str], encoder: Encoder, *, default: bool
    ) -> None:
        """Encode a prompt set and make it visible; an older set of that name is replaced in one step.

        Args:
            name: The set's name.
            spec: Its templates or per-class prompts.
            class_names: C names to put into the templates.
            encoder: The cache's own encoder.
            default: Make it the set that readers get without naming one.
        """
        check_name(name, "the prompt set's name")
        prompts = spec.expand(class_names)
        features = encode_prompts(encoder, prompts)
        # A group of its own, also when the same prompts are encoded again: readers have the old one until the index
        # is replaced.
        group = f"text/{name}-{secrets.token_hex(4)}"
        array = self._folder.group("a").create_array(
            f"{group}/features",
            shape=features.shape,
            chunks=features.shape,
            dtype="float32",
            fill_value=np.nan,
            compressors=Crc32cCodec(),
        )
        array[:] = features
        old = self._index["sets"].get(name)
        self._index["sets"][name] = {
            "group": group,
            "digest": digest(prompts),
            "prompts": prompts,
            "logit_scale": encoder.logit_scale,
            "logit_bias": encoder.logit_bias,
            "weights_sha256": encoder.identity["weights_sha256"],
        }
        if default or self._index["default"] is None:
            self._index["default"] = name
        self._folder.write_json(INDEX, self._index)
        if old:
            self._folder.remove(old["group"])


def encode_prompts(encoder: Encoder, prompts: Sequence[Sequence[str]]) -> np.ndarray:
    """(C, T, D) float32 raw text embeddings, T the largest number of prompts, NaN where a class has fewer."""
    flat = encoder.encode_texts([prompt for of_class in prompts for prompt in of_class])
    features = np.full((len(prompts), max(map(len, prompts)), flat.shape[1]), np.nan, np.float32)
    start = 0
    for row, of_class in zip(features, prompts, strict=True):
        row[: len(of_class)] = flat[start : start + len(of_class)]
        start += len(of_class)
    return features
