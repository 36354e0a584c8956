"""TaskRes against the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.prototypes import cosine_loss
from adapters.heads.taskres import TaskRes
from adapters.heads.zero_shot import ZeroShot
from adapters.parameters import parameters_of
from adapters.training.balance import Balance
from adapters.training.loop import warmup_cosine
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS, TASKRES = golden("data", "support", "text_weights", "taskres")
TEST = DATA["test_features"]


class Text:
    """Class text with its prompts, as a cache gives it."""

    features = DATA["text_raw"]

    def weights(self) -> np.ndarray:
        return WEIGHTS["tip"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def test_gradient_of_the_prototypes() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(9, 6, generator=generator, dtype=torch.float64), dim=1)
    prototypes = torch.randn(4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(9) % 4
    logits = 7 * features @ torch.nn.functional.normalize(prototypes, dim=1).T
    expected = torch.nn.functional.cross_entropy(logits, labels)
    expected.backward()
    expected = expected.detach()
    loss, gradient = cosine_loss(features, labels, prototypes.detach(), 7, Balance())
    assert float(loss) == pytest.approx(float(expected))
    torch.testing.assert_close(gradient, prototypes.grad)


def test_logits_are_the_authors() -> None:
    views, labels = _support(4)
    for alpha, expected in zip(TASKRES["alpha"], TASKRES["logits"], strict=True):
        head = untrained(TaskRes(alpha=alpha), views, labels, text=Text())
        head.residual_ = TASKRES["residual"]
        np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
@pytest.mark.parametrize(("run", "lr"), [("lr2e3", 2e-3), ("lr2e2", 2e-2)])
def test_training_is_the_authors(shots: int, run: str, lr: float) -> None:
    views, labels = _support(shots)
    head = TaskRes(lr=lr, epochs=100, device="cpu").fit(views, labels, text=Text())
    np.testing.assert_allclose(warmup_cosine(lr, 100, 1), TASKRES[f"k{shots}_{run}_lr"], rtol=1e-12)
    np.testing.assert_allclose(head.losses_, TASKRES[f"k{shots}_{run}_loss"], atol=5e-6)
    np.testing.assert_allclose(head.residual_, TASKRES[f"k{shots}_{run}_residual"], atol=5e-6)
    np.testing.assert_allclose(head.decision_function(TEST), TASKRES[f"k{shots}_{run}_logits"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("text", [Text(), WEIGHTS["tip"]], ids=["prompts", "class rows"])
def test_ratio_zero_is_zero_shot_exactly(text: object) -> None:
    views, labels = _support(4)
    head = TaskRes(alpha=0.0).fit(views, labels, text=text)
    zero_shot = ZeroShot().fit(views, labels, text=text)
    np.testing.assert_array_equal(head.decision_function(TEST), zero_shot.decision_function(TEST))


def test_untrained_it_is_zero_shot_with_the_raw_mean() -> None:
    head = untrained(TaskRes(), *_support(4), text=Text())
    np.testing.assert_allclose(head.decision_function(TEST), WEIGHTS["zs_logits_mean_raw"], atol=1e-3, rtol=0)
    assert head.losses_.size == 0


def test_default_epochs_and_parameters() -> None:
    for shots, epochs in ((4, 100), (16, 200)):
        head = TaskRes().fit(*_support(shots), text=Text())
        assert len(head.losses_) == epochs
        assert head.parameters_ == 10 * 64
    views, labels = _support(16)
    small = TaskRes(batch_size=64, epochs=3).fit(views, labels, text=Text())
    assert len(small.losses_) == 6  # of 160 rows, the last 32 are left out
    assert np.abs(small.residual_).max() > 0


def test_scale_and_order_of_rows_change_nothing() -> None:
    views, labels = _support(4)
    order = np.random.default_rng(0).permutation(len(labels))
    plain = TaskRes().fit(views, labels, text=Text()).decision_function(TEST)
    other = TaskRes().fit(10 * views[order], labels[order], text=Text()).decision_function(10 * TEST)
    np.testing.assert_allclose(other, plain, atol=2e-3)


def test_tuned_takes_the_ratio_that_is_best() -> None:
    views, labels = _support(16)
    rows = DATA["val_features"], DATA["val_labels"]
    tried = parameters_of(TaskRes)["alpha"].tried
    right = {a: TaskRes(alpha=a, epochs=40).fit(views, labels, text=Text()).score(*rows) for a in tried}
    chosen = TaskRes(epochs=40).tuned(views, labels, text=Text(), held_out=rows)
    assert right[chosen.alpha] == max(right.values())
    assert TaskRes(epochs=10).tuned(views, labels, text=Text()).alpha in tried


def test_class_rows_are_given_the_norm_of_raw_text() -> None:
    """So that the published learning rate means what it does for raw prompts."""
    head = TaskRes().fit(*_support(4), text=WEIGHTS["mean_raw"])
    np.testing.assert_allclose(np.linalg.norm(head.base_, axis=1), 10, rtol=1e-5)
    raw = TaskRes().fit(*_support(4), text=Text())
    np.testing.assert_allclose(head.decision_function(TEST), raw.decision_function(TEST), atol=0.5)


def test_saved_and_loaded_arrays() -> None:
    views, labels = _support(4)
    head = TaskRes().fit(views, labels, text=Text())
    copy = TaskRes()
    copy._restore(head._arrays(), head.classes_)
    np.testing.assert_array_equal(copy.decision_function(TEST), head.decision_function(TEST))
    np.testing.assert_allclose(unit(head.base_), WEIGHTS["mean_raw_unit"], atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1.0}, {"batch_size": 0}, {"epochs": -1}, {"lr": -1.0}, {"weight_decay": -1.0}]
)
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        TaskRes(**wrong).fit(np.eye(4), [0, 1, 2, 3])
