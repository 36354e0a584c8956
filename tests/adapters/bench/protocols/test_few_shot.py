"""Few-shot: every class is scored."""

from __future__ import annotations

import numpy as np

from adapters import ZeroShot
from adapters.bench.protocols.few_shot import few_shot
from adapters.tasks.task import Task
from tests.adapters.bench.recorders import recipe


def test_few_shot_scores_every_class(task: Task) -> None:
    (part,) = few_shot(recipe("zero-shot"), task, 1)
    head = ZeroShot(logit_scale=20.0).fit(task.support.images, task.support.labels, text=task.text)
    expected = head.predict(task.test.images) == task.test.labels
    np.testing.assert_array_equal(part.correct, expected)
    assert part.tested.all()
    assert (part.name, part.how, part.classes, part.accuracy) == ("all", "", 4, expected.mean())
    assert part.hyperparameters == {"logit_scale": 20.0}
