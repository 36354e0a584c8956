"""Class-text embeddings: named prompt sets beside the images, replaced without touching them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from featcache.cache import layout
from featcache.cache.layout import COMPLETE, DAMAGE, ROOT_GROUP, TEXT_FEATURES, TEXT_INDEX
from featcache.cache.manifest import TextIndexRecord
from featcache.cache.metadata import require
from featcache.cache.sealed import find_sealed, write_sealed
from featcache.errors import CacheError, CacheIncomplete
from featcache.places.folder import Folder, array_in, check_name
from featcache.records import digest


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
        projection: (E, D) that the text tower ends with; None where the cache does not keep it.
        image_projection: (P, D) that the image tower ends with, beside features from before it; else None.
        image_bias: Whether its last row is a bias, and these features end with a 1.
    """

    name: str
    features: np.ndarray
    class_names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    logit_scale: float
    logit_bias: float | None
    projection: np.ndarray | None = None
    image_projection: np.ndarray | None = None
    image_bias: bool = False

    def __repr__(self) -> str:
        return f"<prompts {self.name}: {len(self.class_names)} classes, {sum(map(len, self.prompts))} prompts>"

    def weights(self) -> np.ndarray:
        """(C, D) unit rows: normalise each prompt's embedding, average over a class's prompts, normalise.

        The order of Tip-Adapter and of open_clip's `build_zero_shot_classifier`.
        """
        present = ~np.isnan(self.features[:, :, :1])
        filled = np.where(present, self.features, 0.0)
        unit = filled / np.maximum(np.linalg.norm(filled, axis=-1, keepdims=True), 1e-12)
        mean = unit.sum(axis=1) / present.sum(axis=1)
        return np.asarray(mean / np.linalg.norm(mean, axis=-1, keepdims=True), dtype=np.float32)


class EncodedPrompts(NamedTuple):
    """What an encoder made of a prompt set."""

    features: np.ndarray
    """(C, T, D) float32 as the encoder gave them, T the largest number of prompts; NaN where a class has fewer."""
    logit_scale: float
    logit_bias: float | None
    weights_sha256: str
    """Of the encoder."""


def _require_numbers(features: np.ndarray, prompts: Sequence[Sequence[str]]) -> None:
    for row, own in zip(features, prompts, strict=True):
        if not np.isfinite(row[: len(own)]).all():
            raise CacheIncomplete("some prompts have no embedding")


def _digest(features: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(features, "<f4").data).hexdigest()


def _shape(prompts: Sequence[Sequence[str]]) -> tuple[int, int]:
    """(C, T)."""
    return len(prompts), max(map(len, prompts), default=0)


def no_classes(cache: str) -> str:
    """What is said where class text is asked of a cache whose images had neither labels nor class names."""
    return (
        f"the cache {cache} has no classes: no image had a label; type the same `featcache extract` command with "
        "--class-names cat,dog and another --name"
    )


class TextIndex:
    """The prompt sets of one cache and which of them is the default."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._index: dict[str, Any] = find_sealed(folder, TEXT_INDEX, TextIndexRecord) or {"default": None, "sets": {}}

    @property
    def names(self) -> tuple[str, ...]:
        """All prompt sets, the default one first."""
        return tuple(sorted(self._index["sets"], key=lambda name: (name != self._index["default"], name)))

    def has(self, name: str, prompts: Sequence[Sequence[str]]) -> bool:
        """Whether the set exists with exactly these prompts."""
        return bool(self._index["sets"].get(name, {}).get("digest") == digest(prompts))

    def group(self, name: str) -> str:
        """Where a set is."""
        return str(self._index["sets"][name]["group"])

    @property
    def groups(self) -> list[str]:
        """Where the sets are, and what holds them."""
        own = [str(entry["group"]) for entry in self._index["sets"].values()]
        return [layout.TEXT, *own] if own else []

    @property
    def default(self) -> str | None:
        """The set that readers get without naming one; None while there is none."""
        return None if self._index["default"] is None else str(self._index["default"])

    def make_default(self, name: str) -> None:
        """Let readers get this set without naming one."""
        self._index["default"] = name
        write_sealed(self._folder, TEXT_INDEX, self._index)

    def forget(self, name: str) -> None:
        """Remove a set, so that the next `extract` or `text` encodes it again."""
        group = self._index["sets"].pop(name)["group"]
        if self._index["default"] == name:
            self._index["default"] = next(iter(self._index["sets"]), None)
        write_sealed(self._folder, TEXT_INDEX, self._index)
        self._folder.remove_folder(group)
        self._consolidate()

    def read(self, class_names: tuple[str, ...], name: str | None = None) -> TextFeatures:
        """Read one set (None: the default).

        Raises:
            CacheError: There is no such set, or it is damaged.
        """
        while True:
            try:
                return self._read(class_names, name)
            except CacheIncomplete:
                # Whoever replaces a set removes the old one: it is damaged only if the index still names it.
                now = TextIndex(self._folder)._index
                if now == self._index:
                    raise
                self._index = now

    def _read(self, class_names: tuple[str, ...], name: str | None) -> TextFeatures:
        if not class_names:
            raise CacheError(no_classes(self._folder.location))
        chosen = name or self._index["default"]
        if not self._index["sets"]:
            raise CacheError(
                f"the cache {self._folder.location} has no class text: type `featcache text CACHE --templates FILE`; "
                "or, of an encoder of images alone, join it with a cache that has: --cache A --cache B"
            )
        if chosen not in self._index["sets"]:
            known = ", ".join(self.names) or "none yet"
            message = f"no prompt set {chosen!r} in {self._folder.location}; there are: {known}; "
            raise CacheError(message + "type `featcache text CACHE --templates FILE` to add one")
        entry = self._index["sets"][chosen]
        try:
            array = array_in(self._folder.group("r"), entry["group"], TEXT_FEATURES)
            require(array, layout.text_features((*_shape(entry["prompts"]), array.shape[-1])))
            features = np.asarray(array[:])
            _require_numbers(features, entry["prompts"])
            if entry.get("features_sha256") not in (None, _digest(features)):
                raise CacheIncomplete("its embeddings are not those that were written")
        except (*DAMAGE, CacheIncomplete) as error:
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

    def write(self, name: str, prompts: Sequence[Sequence[str]], encoded: EncodedPrompts, *, default: bool) -> None:
        """Keep a prompt set and make it visible; an older set of that name is replaced in one step.

        Args:
            name: The set's name.
            prompts: Those of each of C classes.
            encoded: What the cache's own encoder made of them.
            default: Make it the set that readers get without naming one.
        """
        check_name(name, "the prompt set's name")
        self._remove_unnamed()
        # A group of its own, also when the same prompts are encoded again: readers have the old one until the index
        # is replaced.
        group = layout.text_group(name, secrets.token_hex(4))
        how = layout.text_features(encoded.features.shape)
        array = self._folder.group("a").create_array(layout.array(group, TEXT_FEATURES), **how)
        array[:] = encoded.features
        old = self._index["sets"].get(name)
        self._index["sets"][name] = {
            "group": group,
            "digest": digest(prompts),
            "prompts": prompts,
            "logit_scale": encoded.logit_scale,
            "logit_bias": encoded.logit_bias,
            "weights_sha256": encoded.weights_sha256,
            "features_sha256": _digest(encoded.features),
        }
        if default or self._index["default"] is None:
            self._index["default"] = name
        write_sealed(self._folder, TEXT_INDEX, self._index)
        if old:
            self._folder.remove_folder(old["group"])
        self._consolidate()

    def _remove_unnamed(self) -> None:
        """Remove groups on a disk that no set names, which a run left that was killed."""
        if self._folder.remote:
            return
        parent = TEXT_INDEX.rpartition("/")[0]
        named = {TEXT_INDEX, f"{parent}/{ROOT_GROUP}", *(entry["group"] for entry in self._index["sets"].values())}
        for left in {f"{parent}/{name}" for name in self._folder.names(parent)} - named:
            self._folder.remove_folder(left)

    def _consolidate(self) -> None:
        """Of a finished cache; one that is not yet has it done at its end."""
        if self._folder.exists(COMPLETE):
            self._folder.consolidate()

    def first_prompts(self) -> list[str]:
        """(C,) the first prompt of each class in the default set; empty while there is none."""
        if self.default is None:
            return []
        return [prompts[0] for prompts in self._index["sets"][self.default]["prompts"]]

    def summary(self) -> list[dict[str, Any]]:
        """Name, number of prompts and an example of each prompt set, the default one first."""
        sets = ((name, self._index["sets"][name]) for name in self.names)
        return [
            {
                "name": name,
                "prompts": sum(map(len, entry["prompts"])),
                "example": entry["prompts"][0][0],
                "logit_scale": entry["logit_scale"],
            }
            for name, entry in sets
        ]
