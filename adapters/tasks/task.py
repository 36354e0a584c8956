"""A few-shot task: K labelled rows a class to learn from, whole splits to be judged on, and the classes' text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.errors import TaskError
from adapters.tasks.all_shots import ALL, Shots
from adapters.tasks.index_files import IndexEntry, IndexFile, index_content, match_rows, read_index_file
from adapters.tasks.sampling import check_draw, largest_class, sample_shots, too_few
from adapters.tasks.split_rows import SplitRows, read_rows, read_split, without_labels

if TYPE_CHECKING:
    from featcache.cache.reading import Cache
    from featcache.cache.split import CachedSplit
    from featcache.cache.text_sets import TextFeatures

VAL_KSHOT_MAX = 4  # CoOp validates on min(K, 4) images a class


@dataclass(frozen=True, eq=False)
class Task:
    """A seeded draw of shots from a cache; embeddings are read from disk when they are first asked for.

    Made by `Task.sample`. Only valid rows are ever given out.

    Attributes:
        cache: where the rows come from.
        text: the classes' text.
        shots: images a class, K; where all were asked for, those of the largest.
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
        shots: Shots,
        seed: int = 1,
        indices: Path | str | None = None,
        allow_fewer: bool = False,
        prompts: str | None = None,
    ) -> Task:
        """Draw K images a class from the cache's train split.

        Args:
            cache: an opened cache; it must have a train and a test split.
            shots: images a class, K >= 1; "all": every labelled image, of classes as large as they are.
            seed: of the draw; the K-shot set contains every smaller set of the same seed.
            indices: a CoOp index file that names the images instead.
            allow_fewer: use a class that has fewer than K images as it is.
            prompts: name of the prompt set; None for the cache's default.

        Raises:
            TaskError: a split is missing, a class has too few images, or the index file does not fit.
        """
        check_draw(1 if shots == ALL else shots, seed)
        for split in ("train", "test"):
            if split not in cache.splits:
                raise TaskError(
                    f"cache {cache.name} has no {split} split (it has {', '.join(cache.splits) or 'none'}): "
                    "extract it with --splits train,val,test, or give another --cache"
                )
        text = cache.text if prompts is None else cache.text_set(prompts)
        train, names = cache["train"], text.class_names
        if shots == ALL:
            if indices is not None:
                raise TaskError("--shots all takes every labelled image: leave --indices out")
            shots, allow_fewer = shots_of_all(cache), True
        index_file = None if indices is None else read_index_file(indices)
        if index_file is None:
            rows = sample_shots(
                train.labels, train.labelled, class_names=names, shots=shots, seed=seed, allow_fewer=allow_fewer
            )
        else:
            rows = _named(index_file.train, train, index_file.name)
            _check_shots(rows, train.labels, names, shots, allow_fewer, index_file.name)
        if not len(rows):
            raise TaskError(
                f"no image of train in cache {cache.name} has a label: type `adapters suggest {cache.name} --csv FILE` "
                "for some to label, then give that file as --labels; or give another --cache"
            )
        counts = np.bincount(train.labels[rows], minlength=len(names))
        every = index_file is None and len(rows) == int(train.labelled.sum())
        notes = _fewer_note(counts, names, shots, every=every)
        if cache.mended is not None:
            notes = (f"mended labels: {cache.mended.told}", *notes)
        if cache.caveat:
            notes = (cache.caveat, *notes)
        return cls(cache, text, shots, seed, allow_fewer, index_file, notes, rows)

    def __repr__(self) -> str:
        return (
            f"<Task on {self.cache.name}: {self.shots} shots of {len(self.text.class_names)} classes, seed {self.seed}>"
        )

    @cached_property
    def support(self) -> SplitRows:
        """The K shots, grouped by class in class order, with their views."""
        return read_rows(self.cache["train"], self._support_rows, with_views=True)

    @cached_property
    def unlabelled(self) -> SplitRows | None:
        """Every training image outside the shots, whose label is not looked at: -1; None where there is none."""
        train = self.cache["train"]
        rows = np.setdiff1d(np.flatnonzero(train.valid), self._support_rows)
        return without_labels(read_rows(train, rows, with_views=False)) if len(rows) else None

    @cached_property
    def val(self) -> SplitRows | None:
        """The whole validation split, without views; None where the cache has none, or no label in it."""
        return read_split(self.cache, "val") if self._has_val else None

    @cached_property
    def test(self) -> SplitRows:
        """The whole test split, without views. Evaluation reads it, and nothing else."""
        return read_split(self.cache, "test")

    @cached_property
    def val_kshot(self) -> SplitRows | None:
        """min(K, 4) validation images a class: the index file's own, else a seeded draw; None without a val split.

        Raises:
            TaskError: a class has too few images.
        """
        if not self._has_val:
            return None
        split = self.cache["val"]
        if self.index_file is not None and self.index_file.val:
            rows = _named(self.index_file.val, split, self.index_file.name)
        else:
            rows = sample_shots(
                split.labels,
                split.labelled,
                class_names=self.text.class_names,
                shots=min(self.shots, VAL_KSHOT_MAX),
                seed=self.seed,
                stream="val",
                allow_fewer=self.allow_fewer,
            )
        return read_rows(split, rows, with_views=False)

    @property
    def _has_val(self) -> bool:
        return "val" in self.cache.splits and bool(self.cache["val"].labelled.any())

    @property
    def source(self) -> str:
        """What the cache is called."""
        return self.cache.name

    def index_content(self, *, with_val: bool = False) -> dict[str, Any]:
        """The few-shot set in the layout of `tasks.index_files`.

        Args:
            with_val: also name the validation images of `val_kshot`, where there are any.
        """
        parts = {"train": (self.support.ids, self.support.labels, self.support.rows)}
        if with_val and self.val_kshot is not None:
            parts["val"] = (self.val_kshot.ids, self.val_kshot.labels, self.val_kshot.rows)
        return index_content(parts, self.text.class_names)


def shots_of_all(cache: Cache) -> int:
    """How many shots are all labelled images of every class of a cache.

    Raises:
        TaskError: it has no train split.
    """
    if "train" not in cache.splits:
        raise TaskError(f"cache {cache.name} has no train split: extract it with --splits train,val,test")
    return largest_class(cache["train"].labels, cache["train"].labelled)


def _named(entries: Iterable[IndexEntry], split: CachedSplit, source: str) -> npt.NDArray[np.int64]:
    """The labelled rows of a split that an index file names, by class."""
    labels, mended = split.labels, split.labels != split.stored_labels
    rows = match_rows(entries, split.ids, labels, source=source, split=split.name, mended=mended)
    rows = rows[split.labelled[rows]]
    return np.asarray(rows[np.argsort(labels[rows], kind="stable")])


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


def _fewer_note(counts: npt.NDArray[np.int64], names: tuple[str, ...], shots: int, *, every: bool) -> tuple[str, ...]:
    if every and counts.max() == shots > counts.min():
        return (f"every labelled training image: {counts.min():,} to {counts.max():,} of a class",)
    fewer = [f"{name!r} {count}" for name, count in zip(names, counts, strict=True) if count < shots]
    if not fewer:
        return ()
    listed = ", ".join(fewer[:5]) + (f" and {len(fewer) - 5} more" if len(fewer) > 5 else "")
    return (f"fewer than {shots} shots in {len(fewer)} of {len(names)} classes: {listed}",)
