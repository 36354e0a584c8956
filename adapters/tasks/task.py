"""A few-shot task: K labelled rows a class to learn from, whole splits to be judged on, and the classes' text."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.errors import TaskError
from adapters.selection.regimes import parse_select
from adapters.tasks.index_files import IndexFile, index_content, match_rows, read_index_file
from adapters.tasks.sampling import check_draw, sample_shots, too_few

if TYPE_CHECKING:
    from featcache.cache.reading import Cache, CachedSplit
    from featcache.cache.text_sets import TextFeatures

VAL_KSHOT_MAX = 4  # CoOp validates on min(K, 4) images a class


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of one split.

    Attributes:
        images: raw embeddings of the plain view, (N, D) float32.
        views: raw embeddings of the augmented views, (N, V, D) float32; None where the cache has none.
        labels: class indices, (N,).
        ids: what the data set calls the images, (N,).
        rows: their row numbers in the split, (N,).
    """

    images: npt.NDArray[np.float32]
    views: npt.NDArray[np.float32] | None
    labels: npt.NDArray[np.int64]
    ids: npt.NDArray[np.str_]
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> npt.NDArray[np.float32]:
        """What a head learns from: the views (N, V, D) where there are any, else the images (N, D)."""
        return self.images if self.views is None else self.views


@dataclass(frozen=True, eq=False)
class Task:
    """A seeded draw of shots from a cache; embeddings are read from disk when they are first asked for.

    Made by `Task.sample`. Only valid rows are ever given out.

    Attributes:
        cache: where the rows come from.
        text: the classes' text.
        shots: images a class, K.
        seed: of the draw.
        index_file: the file that named the shots instead of the seed, or None.
        notes: what a reader of the result must know about the draw.
    """

    cache: Cache
    text: TextFeatures
    shots: int
    seed: int
    allow_fewer: bool = False
    index_file: IndexFile | None = None
    notes: tuple[str, ...] = ()
    _support_rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64), repr=False)

    @classmethod
    def sample(
        cls,
        cache: Cache,
        *,
        shots: int,
        seed: int = 1,
        indices: Path | str | None = None,
        allow_fewer: bool = False,
        prompts: str | None = None,
    ) -> Task:
        """Draw K images a class from the cache's train split.

        Args:
            cache: an opened cache; it must have a train and a test split.
            shots: images a class, K >= 1.
            seed: of the draw; the K-shot set contains every smaller set of the same seed.
            indices: a CoOp index file that names the images instead.
            allow_fewer: use a class that has fewer than K images as it is.
            prompts: name of the prompt set; None for the cache's default.

        Raises:
            TaskError: a split is missing, a class has too few images, or the index file does not fit.
        """
        check_draw(shots, seed)
        for split in ("train", "test"):
            if split not in cache.splits:
                raise TaskError(
                    f"cache {cache.name} has no {split} split (it has {', '.join(cache.splits) or 'none'}): "
                    "extract it with --splits train,val,test, or give another --cache"
                )
        text = cache.text if prompts is None else cache.text_set(prompts)
        train, names = cache["train"], text.class_names
        index_file = None if indices is None else read_index_file(indices)
        if index_file is None:
            rows = sample_shots(
                train.labels, train.valid, class_names=names, shots=shots, seed=seed, allow_fewer=allow_fewer
            )
        else:
            rows = match_rows(index_file.train, train.ids, train.labels, source=index_file.name, split="train")
            rows = _by_class(rows[train.valid[rows]], train.labels)
            _check_shots(rows, train.labels, names, shots, allow_fewer, index_file.name)
        if not len(rows):
            raise TaskError(f"cache {cache.name} has no valid train image: give another --cache")
        notes = _fewer_note(np.bincount(train.labels[rows], minlength=len(names)), names, shots)
        return cls(cache, text, shots, seed, allow_fewer, index_file, notes, rows)

    @cached_property
    def support(self) -> Rows:
        """The K shots, grouped by class in class order, with their views."""
        return _read(self.cache["train"], self._support_rows, with_views=True)

    @cached_property
    def val(self) -> Rows | None:
        """The whole validation split, without views; None where the cache has none."""
        return read_split(self.cache, "val") if "val" in self.cache.splits else None

    @cached_property
    def test(self) -> Rows:
        """The whole test split, without views. Evaluation reads it, and nothing else."""
        return read_split(self.cache, "test")

    @cached_property
    def val_kshot(self) -> Rows:
        """min(K, 4) validation images a class: the index file's own, else a seeded draw.

        Raises:
            TaskError: no validation split, or a class with too few images.
        """
        if "val" not in self.cache.splits:
            raise self._no_val("val-kshot")
        split = self.cache["val"]
        if self.index_file is not None and self.index_file.val:
            source = self.index_file.name
            rows = match_rows(self.index_file.val, split.ids, split.labels, source=source, split="val")
            rows = _by_class(rows[split.valid[rows]], split.labels)
        else:
            rows = sample_shots(
                split.labels,
                split.valid,
                class_names=self.text.class_names,
                shots=min(self.shots, VAL_KSHOT_MAX),
                seed=self.seed,
                stream="val",
                allow_fewer=self.allow_fewer,
            )
        return _read(split, rows, with_views=False)

    def held_out(self, select: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]] | None:
        """What a selection regime may look at besides the support.

        Returns:
            Embeddings (N, D) and labels (N,); None under `none` and `support`.

        Raises:
            TaskError: no such regime, or it needs a validation split that the cache lacks.
        """
        regime = parse_select(select)
        if regime in ("none", "support"):
            return None
        if regime == "oracle":
            rows = self.test  # the one use of test labels outside evaluation
        elif regime == "val-kshot":
            rows = self.val_kshot
        elif self.val is not None:
            rows = self.val
        else:
            raise self._no_val(regime)
        return rows.images, rows.labels

    def index_content(self, select: str = "none") -> dict[str, Any]:
        """The few-shot set in the layout of `tasks.index_files`; with the val images that `val-kshot` looks at."""
        parts = {"train": (self.support.ids, self.support.labels, self.support.rows)}
        if select == "val-kshot":
            parts["val"] = (self.val_kshot.ids, self.val_kshot.labels, self.val_kshot.rows)
        return index_content(parts, self.text.class_names)

    def _no_val(self, regime: str) -> TaskError:
        return TaskError(
            f"--select {regime} needs a val split, which cache {self.cache.name} lacks: "
            "type --select support or --select none, or extract with --splits train,val,test"
        )


def read_split(cache: Cache, name: str) -> Rows:
    """Every valid row of a split, in the order of its listing, without views.

    Raises:
        TaskError: the cache has no such split.
    """
    if name not in cache.splits:
        raise TaskError(f"--split {name} given; cache {cache.name} has {', '.join(cache.splits)}")
    split = cache[name]
    return _read(split, np.flatnonzero(split.valid), with_views=False)


def _read(split: CachedSplit, rows: npt.NDArray[np.int64], *, with_views: bool) -> Rows:
    """Some rows of a split, reading no embedding but theirs."""
    in_order = np.array_equal(rows, np.arange(len(split)))  # the whole split: one contiguous read
    return Rows(
        images=split.images if in_order else split.take_images(rows),
        views=split.take_views(rows) if with_views else None,
        labels=split.labels[rows],
        ids=split.ids[rows],
        rows=rows,
    )


def _by_class(rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return rows[np.argsort(labels[rows], kind="stable")]


def _check_shots(
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    names: tuple[str, ...],
    shots: int,
    allow_fewer: bool,
    source: str,
) -> None:
    """Raise TaskError unless the index file gives `shots` rows of every class."""
    for name, count in zip(names, np.bincount(labels[rows], minlength=len(names)), strict=True):
        if count > shots:
            raise TaskError(f"index file {source} has {count} images of class {name!r}: type --shots {count}")
        if count < shots and not allow_fewer:
            raise too_few(name, int(count), shots)


def _fewer_note(counts: npt.NDArray[np.int64], names: tuple[str, ...], shots: int) -> tuple[str, ...]:
    fewer = [f"{name!r} {count}" for name, count in zip(names, counts, strict=True) if count < shots]
    if not fewer:
        return ()
    listed = ", ".join(fewer[:5]) + (f" and {len(fewer) - 5} more" if len(fewer) > 5 else "")
    return (f"fewer than {shots} shots in {len(fewer)} of {len(names)} classes: {listed}",)
