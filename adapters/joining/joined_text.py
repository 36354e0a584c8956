"""Class text of joined caches: each encoder's text beside its own block of the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapters.arrays import Block, Floats, unit
from adapters.errors import TaskError
from featcache.cache.text_sets import TextFeatures


@dataclass(frozen=True, repr=False)
class JoinedText(TextFeatures):
    """The text of several encoders; see `JoinedCache` for the equation.

    Attributes:
        blocks: width of each encoder's block, and its share of the scale.
    """

    blocks: tuple[Block, ...] = ()


def join_texts(texts: Sequence[TextFeatures | None], widths: Sequence[int], weights: Sequence[float]) -> JoinedText:
    """The text of M encoders, with the logit scale at which zero-shot is the weighted mean of their logits.

    Where all have the same prompts, prompt j of a class is the j-th of each; scaled so that the mean of the prompts is
    the mean that `weights()` takes of each encoder's own. Where prompts differ, a class has one row, the mean of each.

    Args:
        texts: of each encoder; None: it has no text, and zeros stand beside its block.
        widths: numbers of an embedding of each, D_m.
        weights: of each, ω_m.

    Raises:
        TaskError: no encoder with a weight has text.
    """
    some = [text for text in texts if text is not None]
    with_text = sum(w for w, text in zip(weights, texts, strict=True) if text is not None)
    if not with_text:
        raise TaskError("none of the joined caches that have a weight has class text: give one with text a weight")
    scales = [0.0 if text is None else float(text.logit_scale) for text in texts]
    norm = math.sqrt(sum(w * s * s for w, s in zip(weights, scales, strict=True)))
    prompts = some[0].prompts
    alike = all(text.prompts == prompts for text in some)
    length = some[0].features.shape[1] if alike else 1
    blocks = []
    for text, width, weight, scale in zip(texts, widths, weights, scales, strict=True):
        if text is None:
            blocks.append(np.zeros((len(some[0].class_names), length, width), np.float32))
            continue
        rows = _prompt_rows(text) if alike else text.weights()[:, None]
        blocks.append(np.float32(math.sqrt(weight) * scale / norm) * rows)
    if not alike:
        prompts = tuple(
            tuple(dict.fromkeys(sum(of_class, ()))) for of_class in zip(*(t.prompts for t in some), strict=True)
        )
    features = np.concatenate(blocks, axis=-1)
    return JoinedText(
        name="+".join(dict.fromkeys(text.name for text in some)),
        # Where a class has fewer prompts, its row is missing in every block.
        features=np.where(np.isnan(features).any(-1, keepdims=True), np.float32(np.nan), features),
        class_names=some[0].class_names,
        prompts=prompts,
        logit_scale=norm / with_text,
        logit_bias=None,  # that of a class is that of every other
        blocks=tuple(Block(width, scale / norm * with_text) for width, scale in zip(widths, scales, strict=True)),
    )


def _prompt_rows(text: TextFeatures) -> Floats:
    """Prompts (C, T, D) with a direction each as the encoder gave it, whose mean of a class is its unit row."""
    rows = unit(np.where(np.isnan(text.features), 0.0, text.features).astype(np.float32))
    present = ~np.isnan(text.features[:, :, :1])
    length = np.linalg.norm(rows.sum(1) / present.sum(1), axis=-1)
    return np.where(present, rows / length[:, None, None], np.float32(np.nan)).astype(np.float32)
