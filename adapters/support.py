"""What heads learn from and are compared on: the support set, and checked rows held out of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import (
    Block,
    Floats,
    Ints,
    encode_labels,
    text_blocks,
    text_prompts,
    text_weights,
    to_float32,
    to_numpy,
    unit,
)
from adapters.errors import AdapterError

UNLABELLED = -1
"""The label of a row that has none."""


def _no_rows() -> Floats:
    return np.zeros((0, 0), dtype=np.float32)


class Rows(NamedTuple):
    """Checked rows that hyper-parameters may be chosen on: unit features (M, D) and class codes (M,)."""

    features: Floats
    labels: Ints


@dataclass(frozen=True)
class Support:
    """A checked support set.

    Attributes:
        views: raw features (N, V, D); V = 1 where each image has one feature.
        labels: class codes (N,).
        classes: the class of every code (C,).
        text: unit rows (C, D); the class means of the unit support rows where no text was given.
        has_text: whether text was given.
        prompts: raw embeddings (C, T, D) of every prompt, NaN-padded; None where only class rows were given.
        projection: what the encoder's text tower ends with (E, D), from its own width to D; None where it is not known.
        image_projection: what the image tower ends with (P, D), where the features are from before it; None: they are
            embeddings.
        image_bias: whether its last row is a bias, which is not trained; the features then end with a 1.
        unlabelled: unit rows (M, D) of images that came without a label; only for heads that take them.
        blocks: the encoders whose features stand side by side; empty: one.
    """

    views: Floats
    labels: Ints
    classes: NDArray[Any]
    text: Floats
    has_text: bool
    prompts: Floats | None = None
    projection: Floats | None = None
    image_projection: Floats | None = None
    image_bias: bool = False
    unlabelled: Floats = field(default_factory=_no_rows)
    blocks: tuple[Block, ...] = ()

    @classmethod
    def check(cls, X: Any, y: Any, text: Any, *, unlabelled: bool = False) -> Support:
        """Check and bring into shape what `fit` was given; see `Head.fit`.

        Args:
            X: features.
            y: labels.
            text: class text.
            unlabelled: whether rows may be without a label, -1.
        """
        features = to_float32(X, "X", (2, 3))
        labels = to_numpy(y)
        if unlabelled and labels.shape == (len(features),) and (without := labels == UNLABELLED).any():
            if without.all():
                raise AdapterError(f"all {len(labels)} labels of y are -1, which is none; give some rows their class")
            known, others = cls.check(features[~without], labels[~without], text), features[without]
            return replace(known, unlabelled=unit(others if others.ndim == 2 else others.mean(1)))
        views = features if features.ndim == 3 else features[:, None]
        weights = None if text is None else text_weights(text)
        labels, classes = encode_labels(y, len(views), None if weights is None else len(weights))
        if weights is None:
            return cls(views, labels, classes, class_means(unit(views.mean(1)), labels, len(classes)), False)
        before = getattr(text, "image_projection", None)
        if before is not None and views.shape[2] != len(before):
            raise AdapterError(f"X has {views.shape[2]} columns; the projection after it takes {len(before)}")
        if before is None and weights.shape[1] != views.shape[2]:
            raise AdapterError(
                f"X has {views.shape[2]} columns but text has {weights.shape[1]}; both must come from the same encoder"
            )
        return cls(
            views,
            labels,
            classes,
            weights,
            True,
            text_prompts(text),
            projection=getattr(text, "projection", None),
            image_projection=before,
            image_bias=bool(getattr(text, "image_bias", False)),
            blocks=text_blocks(text),
        )

    @cached_property
    def unit_views(self) -> Floats:
        """Every view as a unit row (N, V, D)."""
        return unit(self.views)

    @cached_property
    def means(self) -> Floats:
        """The mean of the raw views, then normalised (N, D): the order of Tip-Adapter."""
        return unit(self.views.mean(1))

    @cached_property
    def mean_prompts(self) -> Floats:
        """The mean (C, D) of each class's raw prompt embeddings: the base text of TaskRes and CLAP, not normalised.

        Where only class rows were given, those rows: for one prompt a class the two differ by a positive factor.
        """
        if self.prompts is None:
            return self.text
        return np.asarray(np.nanmean(self.prompts, axis=1, dtype=np.float64), dtype=np.float32)

    @cached_property
    def shots(self) -> int:
        """Rows of the largest class, K."""
        return int(np.bincount(self.labels).max())

    def take(self, rows: Ints) -> Support:
        """The support of a subset of rows: same classes and text (class means anew where no text was given)."""
        views, labels = self.views[rows], self.labels[rows]
        text = self.text if self.has_text else class_means(unit(views.mean(1)), labels, len(self.classes))
        return replace(self, views=views, labels=labels, text=text)


def class_means(rows: Floats, labels: Ints, classes: int) -> Floats:
    """Unit class means (C, D) of unit rows (N, D); zero for a class without rows."""
    sums = np.zeros((classes, rows.shape[1]), dtype=np.float64)
    np.add.at(sums, labels, rows)
    return unit(sums.astype(np.float32))


def fold_of_rows(labels: Ints, folds: int) -> Ints:
    """The fold (N,) that each row is held out in: the j-th row of a class in fold j modulo the number of folds.

    With K <= `folds` shots each fold so holds exactly one shot of each class out, which leaves the classes as equal as
    they were. A class with one row is never held out (-1): nothing would be left to know it from.

    Args:
        labels: class codes (N,).
        folds: the most folds wanted; no more than K are used.
    """
    counts = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    rank = np.empty_like(labels)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.where(counts[labels] > 1, rank % min(folds, int(counts.max())), -1)


def shot_folds(labels: Ints, folds: int) -> list[tuple[Ints, Ints]]:
    """Pairs (kept rows, held-out rows) of the folds of `fold_of_rows`; none where no class has two rows."""
    fold = fold_of_rows(labels, folds)
    return [(np.flatnonzero(fold != j), np.flatnonzero(fold == j)) for j in range(fold.max() + 1)]
