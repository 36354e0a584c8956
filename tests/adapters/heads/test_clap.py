"""ZS-LP and CLAP against the authors' code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.clap import CLAP, PrototypeStack, ZeroShotLinearProbe, class_multipliers
from adapters.support import Support
from adapters.training.loop import warmup_cosine
from adapters.training.trained_head import InTraining
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS, GOLD = golden("data", "support", "text_weights", "clap")
TEST = DATA["test_features"]
HEADS = [ZeroShotLinearProbe, CLAP]


class Text:
    """Class text with its prompts, as a cache gives it."""

    features = DATA["text_raw"]

    def weights(self) -> np.ndarray:
        return WEIGHTS["tip"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _multipliers(shots: int) -> torch.Tensor:
    views, labels = _support(shots)
    arrays = unit(views), labels, WEIGHTS["mean_raw_unit"]
    return class_multipliers(*(torch.from_numpy(array) for array in arrays), 100.0)


def _batches(head: ZeroShotLinearProbe, views: np.ndarray, labels: np.ndarray) -> list[tuple[torch.Tensor, ...]]:
    """Features and labels of every step."""
    support = Support.check(views, labels, Text())
    stack = InTraining([head], [support]).stack
    assert isinstance(stack, PrototypeStack)
    seen = []
    for step in range(stack.steps):
        stack.load(step)
        seen.append((stack.batches.features[0].clone(), stack.batches.labels[0].clone()))
    return seen


@pytest.mark.parametrize("shots", [4, 16])
def test_multipliers_are_the_authors(shots: int) -> None:
    np.testing.assert_allclose(_multipliers(shots), GOLD[f"k{shots}_lambda_l2"], atol=2e-6)


def _train(shots: int, run: str, monkeypatch: pytest.MonkeyPatch) -> ZeroShotLinearProbe:
    """A head trained on the authors' batches."""
    views, labels = _support(shots)
    rows = torch.from_numpy(GOLD[f"k{shots}_pool_rows"]).long()  # theirs count view by view, ours image by image
    ours = rows % len(labels) * views.shape[1] + rows // len(labels)
    plan, rates = ZeroShotLinearProbe._plan, warmup_cosine(0.1, 20, 1)
    monkeypatch.setattr(ZeroShotLinearProbe, "_plan", lambda *own: plan(*own)._replace(rows=ours, rates=rates))
    return HEADS[run == "clap"](device="cpu").fit(views, labels, text=Text())


@pytest.mark.parametrize("shots", [4, 16])
@pytest.mark.parametrize("run", ["clap", "zslp"])
def test_training_is_the_authors(shots: int, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = _train(shots, run, monkeypatch)
    np.testing.assert_allclose(warmup_cosine(0.1, 20, 1), GOLD[f"k{shots}_{run}_lr"], rtol=1e-12)
    np.testing.assert_allclose(head.losses_, GOLD[f"k{shots}_{run}_loss"], atol=5e-6)
    np.testing.assert_allclose(head.prototypes_, GOLD[f"k{shots}_{run}_prototypes"], atol=5e-6)
    np.testing.assert_allclose(head.decision_function(TEST), GOLD[f"k{shots}_{run}_logits"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
def test_pull_is_the_authors(shots: int) -> None:
    """Their loss at perturbed prototypes, in its two terms."""
    pull = (_multipliers(shots).numpy() * (GOLD["perturbation"] ** 2).sum(1)).mean()
    assert pull == pytest.approx(GOLD[f"k{shots}_perturbed_loss"][1], rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_an_epoch_takes_as_many_batches_as_one_view_fills(head: type[ZeroShotLinearProbe]) -> None:
    views, labels = _support(16)
    text = Text()
    for batch_size, per_epoch in ((256, 1), (64, 2)):
        made = head(batch_size=batch_size, epochs=3, device="cpu")
        batches = _batches(made, views, labels)
        assert len(batches) == 3 * per_epoch
        assert {len(codes) for _, codes in batches} == {batch_size}
        seen = torch.cat([features for features, _ in batches[:per_epoch]])
        assert len(seen.unique(dim=0)) == len(seen)  # one epoch takes no row twice
        assert len(made.fit(views, labels, text=text).losses_) == 3 * per_epoch
    small = _batches(head(epochs=1), views[:10, :1], labels[:10])
    assert [len(codes) for _, codes in small] == [10]


@pytest.mark.parametrize("head", HEADS)
def test_batches_keep_rows_with_their_labels(head: type[ZeroShotLinearProbe]) -> None:
    views, labels = _support(4)
    by_row = {row.tobytes(): label for rows, label in zip(unit(views), labels, strict=True) for row in rows}
    ((features, codes),) = _batches(head(epochs=1), views, labels)
    assert [by_row[row.numpy().tobytes()] for row in features.cpu()] == codes.tolist()


@pytest.mark.parametrize("head", HEADS)
def test_untrained_it_is_zero_shot_with_the_raw_mean(head: type[ZeroShotLinearProbe]) -> None:
    fresh = untrained(head(), *_support(4), text=Text())
    np.testing.assert_allclose(fresh.decision_function(TEST), WEIGHTS["zs_logits_mean_raw"], atol=1e-3, rtol=0)
    assert fresh.parameters_ == 640


def test_clap_stays_nearer_to_the_text_than_zs_lp() -> None:
    views, labels = _support(16)
    start = DATA["text_raw"].mean(1)
    free, held = (np.abs(h().fit(views, labels, text=Text()).prototypes_ - start).mean() for h in HEADS)
    assert held < 0.8 * free


@pytest.mark.parametrize("head", HEADS)
def test_it_learns(head: type[ZeroShotLinearProbe]) -> None:
    fitted = head().fit(*_support(16), text=Text())
    before = untrained(head(), *_support(16), text=Text())
    assert fitted.score(TEST, DATA["test_labels"]) > before.score(TEST, DATA["test_labels"]) + 0.05


@pytest.mark.parametrize("head", HEADS)
def test_scale_and_order_of_rows_change_nothing(head: type[ZeroShotLinearProbe]) -> None:
    """One view, so that the one batch of an epoch is the whole support."""
    views, labels = _support(4)
    order = np.random.default_rng(0).permutation(len(labels))
    plain = head(epochs=50).fit(views[:, 0], labels, text=Text()).decision_function(TEST)
    other = head(epochs=50).fit(10 * views[order, 0], labels[order], text=Text()).decision_function(10 * TEST)
    np.testing.assert_allclose(other, plain, atol=2e-3)


def test_a_class_without_rows_keeps_to_its_text() -> None:
    views, labels = _support(4)
    kept = labels != 4
    head = CLAP().fit(views[kept], labels[kept], text=Text())
    assert head.multipliers_[4] == 1
    assert np.isfinite(head.decision_function(TEST)).all()


def test_same_seed_same_head_and_nothing_to_choose() -> None:
    views, labels = _support(4)
    first, same, other = (CLAP(seed=s, epochs=20).fit(views, labels, text=Text()).prototypes_ for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-4
    assert "nothing to choose" in CLAP().tuned(views, labels, text=Text()).selection_note_


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"epochs": -1}, {"lr": -1.0}, {"momentum": 1.0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        CLAP(**wrong).fit(np.eye(4), [0, 1, 2, 3])
