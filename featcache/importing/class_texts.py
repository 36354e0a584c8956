"""The text embeddings of an imported cache: the source's own, or those that a named encoder makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featcache.array_names import PROMPTS, SCALE
from featcache.array_names import TEXT as TEXTS
from featcache.cache.text_sets import EncodedPrompts, TextIndex
from featcache.errors import CacheMismatch, DataError
from featcache.importing.asked import is_scale
from featcache.importing.formats.arrays import Arrays, Column, shape_of
from featcache.importing.roles import Found
from featcache.origin import UNKNOWN
from featcache.places.folder import Folder
from featcache.prompts import PromptSpec
from featcache.records import parse_json

if TYPE_CHECKING:
    from featcache.encoders.encoder import Encoder

SET = "imported"
"""What the prompt set is called whose embeddings came with the images'."""
USUAL_SCALE = 100.0
"""Of nearly every CLIP: its scale is clipped there in training."""


class ClassTexts(NamedTuple):
    """A prompt set.

    Attributes:
        name: Its name.
        prompts: Of each of C classes; empty ones are not known.
        encoded: Their embeddings.
    """

    name: str
    prompts: Sequence[Sequence[str]]
    encoded: EncodedPrompts


def texts_in_source(
    arrays: Arrays, found: Found, class_names: Sequence[str], dim: int, scale: float | None, told: list[str]
) -> ClassTexts | None:
    """The embeddings of the source; None where it has none.

    Args:
        arrays: The source.
        found: Which of its arrays is what.
        class_names: (C,).
        dim: D.
        scale: What cosines are multiplied with, where the user says it.
        told: Gets a line for each thing that is guessed.

    Raises:
        DataError: They do not fit the classes or the images' embeddings, or say nothing of a class.
    """
    column = found.of_classes.get(TEXTS)
    if column is None:
        return None
    features = _features(column, len(class_names), dim, arrays.where, told)
    there = np.isfinite(features).all(axis=-1)
    lengths = np.where(there, np.linalg.norm(np.nan_to_num(features), axis=-1), 1.0)
    wrong = ~there[:, 0] | (lengths == 0).any(axis=1)
    if wrong.any():
        name = class_names[int(np.argmax(wrong))]
        raise DataError(
            f"{arrays.where}: {column.name} is zero or NaN for the class {name!r}: mend it, or type --model"
        )
    counts = there.sum(axis=1)
    prompts = prompts_told(arrays, len(class_names))
    if prompts is None or list(map(len, prompts)) != counts.tolist():
        prompts = [[""] * count for count in counts.tolist()]
    if scale is None:
        scale = _scale(arrays, found)
    if scale is None:
        told.append(f"logit_scale: none in the source, so {USUAL_SCALE:g} as nearly every CLIP's (--logit-scale)")
        scale = USUAL_SCALE
    if not is_scale(scale):
        raise DataError(
            f"{arrays.where}: its logit_scale is {scale:g}, expected a number above 0: type --logit-scale, such as 100"
        )
    return ClassTexts(SET, prompts, EncodedPrompts(features, scale, None, UNKNOWN))


def texts_of(
    encoder: Encoder, class_names: Sequence[str], named: tuple[str, PromptSpec], told: Sequence[Sequence[str]] | None
) -> ClassTexts:
    """The embeddings that an encoder makes of the prompts that a source tells; where it tells none, of a prompt set."""
    from featcache.extraction.add_text import encode_prompts

    name, spec = named
    if told is not None:
        return ClassTexts(SET, told, encode_prompts(encoder, told))
    prompts = spec.expand(class_names)
    return ClassTexts(name, prompts, encode_prompts(encoder, prompts))


def require_same_texts(
    folder: Folder, name: str, texts: ClassTexts, class_names: tuple[str, ...], *, finished: bool
) -> None:
    """Refuse a cache that was begun with other texts, which nobody would tell from these by their prompts.

    Args:
        folder: The cache's.
        name: Its name.
        texts: What it is to have.
        class_names: (C,).
        finished: Whether nothing is to be written any more.

    Raises:
        CacheMismatch: Names what differs.
    """
    index = TextIndex(folder)
    if not index.has(texts.name, texts.prompts):
        if finished:
            raise CacheMismatch(
                f"cache {name} was imported with other prompts: type `featcache text {name} --templates FILE` to add "
                "some, or --name NEWNAME for a new cache"
            )
        return
    if texts.encoded.weights_sha256 != UNKNOWN:  # made of the prompts, which are the same
        return
    kept = index.read(class_names, texts.name)
    same = np.array_equal(kept.features, texts.encoded.features, equal_nan=True)
    if not same or kept.logit_scale != texts.encoded.logit_scale:
        what = "the logit_scale differs" if same else "the text embeddings differ"
        raise CacheMismatch(f"cache {name} was made from something else: {what}; type --name NEWNAME for a new cache")


def prompts_told(arrays: Arrays, classes: int) -> list[list[str]] | None:
    """The prompts of each of C classes, where the source tells them."""
    try:
        told = [[str(prompt) for prompt in of_class] for of_class in parse_json(arrays.facts[PROMPTS])]
    except (LookupError, TypeError, ValueError):
        return None
    return told if len(told) == classes and all(prompt for of_class in told for prompt in of_class) else None


def _features(column: Column, classes: int, dim: int, where: Path, told: list[str]) -> np.ndarray:
    """(C, T, D) float32."""
    features = column.whole().astype(np.float32)
    if features.ndim == 2 and features.shape == (dim, classes) and dim != classes:
        told.append(f"{TEXTS}: {column.name} is (D, C), so it was turned")
        features = features.T
    if features.ndim == 2:
        features = features[:, None]
    if features.ndim != 3 or (features.shape[0], features.shape[2]) != (classes, dim):
        raise DataError(
            f"{where}: {column.name} is {shape_of(column)}: expected ({classes}, {dim}), a row for each class, or "
            f"({classes}, T, {dim}) of T prompts each; type --array text=none to leave it out"
        )
    return np.ascontiguousarray(features)


def _scale(arrays: Arrays, found: Found) -> float | None:
    facts: Mapping[str, str] = arrays.facts
    if SCALE in found.of_classes:
        return float(found.of_classes[SCALE].whole().reshape(-1)[0])
    try:
        return float(facts[SCALE])
    except (LookupError, ValueError):
        return None
