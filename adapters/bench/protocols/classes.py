"""A task cut down to some of its classes, in any order: the ground of every protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from adapters.arrays import Block, text_blocks
from adapters.tasks.split_rows import SplitRows
from adapters.tasks.task import Task

if TYPE_CHECKING:
    from adapters.arrays import Floats, Ints
    from featcache.cache.text_sets import TextFeatures


@dataclass(frozen=True, eq=False)
class TextOfClasses:
    """The text of some classes of a prompt set; what heads ask of a text, they can ask of this.

    Attributes:
        whole: the prompt set.
        classes: which of its classes (C',), in the order of the rows given out.
    """

    whole: TextFeatures
    classes: Ints

    @property
    def features(self) -> Floats:
        """Raw embeddings (C', T, D) of every prompt."""
        return np.asarray(self.whole.features[self.classes])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The C' names."""
        return tuple(self.whole.class_names[code] for code in self.classes)

    @property
    def projection(self) -> Floats | None:
        """What the text tower ends with (E, D), where the cache keeps it."""
        return self.whole.projection

    @property
    def image_projection(self) -> Floats | None:
        """What the image tower ends with (P, D), where the features are from before it."""
        return self.whole.image_projection

    @property
    def image_bias(self) -> bool:
        """Whether its last row is a bias."""
        return self.whole.image_bias

    @property
    def logit_scale(self) -> float:
        """The encoder's."""
        return float(self.whole.logit_scale)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The encoders that it is of."""
        return text_blocks(self.whole)

    def weights(self) -> Floats:
        """Unit rows (C', D)."""
        return np.asarray(self.whole.weights()[self.classes])


@dataclass(frozen=True, eq=False)
class ClassSubset:
    """Some classes of a task; labels count through them: 0 is the first of `classes`.

    The shots are those of the whole task, so the draw comes before the choice of classes, as in CoOp.

    Attributes:
        task: the whole task.
        classes: class indices (C',) of the whole task.
    """

    task: Task
    classes: Ints

    @classmethod
    def whole(cls, task: Task) -> ClassSubset:
        """All classes in their order."""
        return cls(task, np.arange(len(task.text.class_names)))

    @cached_property
    def text(self) -> TextOfClasses:
        """The classes' text."""
        return TextOfClasses(self.task.text, self.classes)

    @cached_property
    def support(self) -> SplitRows:
        """The shots of these classes, grouped by class in class order."""
        rows = self._only(self.task.support)
        order = np.argsort(rows.labels, kind="stable")
        return rows if np.array_equal(order, np.arange(len(order))) else _take(rows, order, rows.labels[order])

    @property
    def unlabelled(self) -> SplitRows | None:
        """Images whose labels are not looked at; none where classes are left out: it is not known which are theirs."""
        return self.task.unlabelled if len(self.classes) == len(self.task.text.class_names) else None

    @cached_property
    def test(self) -> SplitRows:
        """The test rows of these classes."""
        return self._only(self.task.test)

    @cached_property
    def tested(self) -> npt.NDArray[np.bool_]:
        """Which rows of the whole test split (N,) `test` has."""
        return self._codes(self.task.test.labels) >= 0

    @cached_property
    def val(self) -> SplitRows | None:
        """The validation rows of these classes."""
        return None if self.task.val is None else self._only(self.task.val)

    @cached_property
    def val_kshot(self) -> SplitRows | None:
        """The few validation rows of these classes."""
        return None if self.task.val_kshot is None else self._only(self.task.val_kshot)

    @property
    def source(self) -> str:
        """What the cache is called."""
        return self.task.source

    def _only(self, rows: SplitRows) -> SplitRows:
        codes = self._codes(rows.labels)
        if np.array_equal(codes, rows.labels):  # all classes in their order: spare the copy
            return rows
        kept = np.flatnonzero(codes >= 0)
        return _take(rows, kept, codes[kept])

    def _codes(self, labels: Ints) -> Ints:
        """Place of every label among `classes`; -1 where it is not one of them."""
        place = np.full(len(self.task.text.class_names), -1)
        place[self.classes] = np.arange(len(self.classes))
        return np.asarray(place[labels])


def _take(rows: SplitRows, which: Ints, labels: Ints) -> SplitRows:
    return replace(
        rows,
        features=rows.images[which],
        views=None if rows.views is None else rows.views[which],
        labels=labels,
        names=rows.ids[which],
        rows=rows.rows[which],
    )
