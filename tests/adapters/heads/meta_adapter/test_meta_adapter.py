"""Meta-Adapter against the authors' code, and what it promises online."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.clip_adapter.clip_adapter import ClipAdapter
from adapters.heads.meta_adapter.attention import Weights, attend, attend_backward
from adapters.heads.meta_adapter.meta_adapter import MetaAdapter
from adapters.heads.meta_adapter.stack import MetaSet, MetaStack
from adapters.heads.meta_adapter.steps import Step, epoch_of
from adapters.support import Support
from adapters.training.stacking import fit_many
from adapters.training.trained_head import InTraining
from tests.golden_files import golden

DATA, SUPPORT, TEXT, META, TRAINED = golden("data", "support", "text_weights", "meta_adapter", "meta_adapter_train")
TIP, TEST, TEST_LABELS = TEXT["tip"], DATA["test_features"], DATA["test_labels"]
NONE = torch.zeros(0, dtype=torch.int64)


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _weights() -> Weights:
    return Weights(*(torch.from_numpy(META[name].copy()) for name in Weights._fields))


def _with(weights: Weights) -> MetaAdapter:
    """A head that was meta-trained to given weights."""
    head = MetaAdapter(epochs=1, lr=0.0).meta_fit((np.eye(64), np.arange(64), np.eye(64)))
    for name, weight in weights._asdict().items():
        setattr(head, name + "_", weight.numpy())
    return head


@pytest.mark.parametrize("shots", [4, 16])
def test_adapted_text_and_logits_are_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    head = _with(_weights()).adapt(views, labels, TIP)
    np.testing.assert_allclose(head.adapted_, META[f"k{shots}_text"], atol=1e-5)
    np.testing.assert_allclose(head.decision_function(TEST), META[f"k{shots}_logits"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
def test_training_with_the_fifo_memory_is_the_authors(shots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = SUPPORT[f"rows_k{shots}"], _support(shots)[1]
    order = torch.from_numpy(TRAINED[f"k{shots}_train_order"].astype(np.int64)).flatten(0, 1)
    steps = [Step(0, batch, NONE) for batch in order]
    support = Support.check(SUPPORT["center"][rows], labels, TIP)
    head = MetaAdapter(memory="fifo", device="cpu")
    monkeypatch.setattr(head, "_learning", lambda supports: head._with(supports, _weights(), steps))
    training = InTraining([head], [support])
    stack = training.stack
    assert isinstance(stack, MetaStack)
    data = stack.sets[0]
    # The authors' memory begins with other features than their batches are made of.
    data.pools[0][data.memories[0].rows] = torch.from_numpy(META[f"k{shots}_memory"])
    data.rows.copy_(torch.from_numpy(META[f"k{shots}_memory"]))
    stack.advance()
    training.finish()
    np.testing.assert_allclose(head.losses_, TRAINED[f"k{shots}_trained_loss"], atol=1e-5)
    for name in Weights._fields:
        np.testing.assert_allclose(getattr(head, name + "_"), TRAINED[f"k{shots}_trained_{name}"], atol=5e-6)
    np.testing.assert_allclose(data.rows[0], TRAINED[f"k{shots}_trained_memory"], atol=1e-6)
    np.testing.assert_allclose(head.decision_function(TEST), TRAINED[f"k{shots}_trained_logits"], atol=1e-3, rtol=0)


def test_gradient_is_autograds() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    weights = Weights(draw(2, 6, 6), draw(2, 6, 6), draw(2, 1, 6), draw(2, 1))
    text, rows, of_text = draw(2, 4, 6), draw(2, 4, 3, 6), draw(2, 4, 6)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0]]).bool().expand(2, 4, 3)
    leaves = Weights(*(weight.clone().requires_grad_() for weight in weights))
    (attend(leaves, text, rows, present).unit * of_text).sum().backward()
    found = Weights(*(torch.empty_like(weight) for weight in weights))
    attend_backward(of_text, attend(weights, text, rows, present), weights, text, rows, found)
    for gradient, leaf in zip(found, leaves, strict=True):
        torch.testing.assert_close(gradient, leaf.grad)


def test_uniform_attention_is_the_gated_mean_of_the_memory() -> None:
    views, labels = _support(4)
    zero, weights = torch.zeros(64, 64), _weights()
    head = _with(Weights(zero, zero, weights.gate_weight, weights.gate_bias)).adapt(views, labels, TIP)
    gate = 1 / (1 + np.exp(-(TIP @ META["gate_weight"].T + META["gate_bias"])))
    mean = (TIP + META["k4_memory"].sum(1)) / 5
    np.testing.assert_allclose(head.adapted_, unit(TIP + gate * mean), atol=1e-6)


def test_a_class_without_rows_keeps_its_text() -> None:
    views, labels = _support(4)
    kept = labels != 3
    head = _with(_weights()).adapt(views[kept], labels[kept], TIP)
    np.testing.assert_allclose(head.adapted_[3], TIP[3], atol=1e-6)
    np.testing.assert_allclose(np.delete(head.adapted_, 3, 0), np.delete(META["k4_text"], 3, 0), atol=1e-5)


def test_a_batch_is_not_in_the_memory_that_it_is_scored_with() -> None:
    views, labels = _support(16)
    support = Support.check(views, labels, TIP)
    steps = epoch_of(0, support, torch.Generator().manual_seed(0), fifo=False, batch_size=64)
    data = MetaSet([support], [steps], fifo=False, device=torch.device("cpu"))
    assert sorted(torch.cat([step.rows for step in steps]).tolist()) == list(range(160))
    for place, step in enumerate(steps):
        data.load(place)
        left = data.left[0]
        assert (left.sum(1) == left.sum(1)[0]).all()  # every class is left as many shots, at least half of them
        assert left.sum(1)[0] >= 8
        seen = data.rows[0][left]
        batch = torch.from_numpy(support.means)[step.rows]
        assert (batch @ seen.T).max() < 1 - 1e-4


def test_one_shot_learns_nothing_but_adapts() -> None:
    views, labels = _support(4)
    head = MetaAdapter().fit(views[::4], labels[::4], text=TIP)
    assert not len(head.losses_)
    assert np.abs(head.adapted_ - TIP).max() > 0.01


@pytest.mark.parametrize("memory", ["held-out", "fifo"])
def test_fit_learns_and_beats_zero_shot(memory: str) -> None:
    views, labels = _support(16)
    head = MetaAdapter(memory=memory).fit(views, labels, text=TIP)
    assert len(head.losses_) == 15
    assert head.score(TEST, TEST_LABELS) > 0.7  # zero-shot is at 0.6
    assert head.parameters_ == 2 * 64**2 + 64 + 1


@pytest.mark.parametrize("memory", ["held-out", "fifo"])
def test_stacks_take_uneven_classes_and_batches_too(memory: str) -> None:
    """Here even the number of steps may depend on the seed."""
    views, labels = _support(16)
    drop = np.random.default_rng(0).permutation(160)
    sets = [(views[kept], labels[kept], TIP) for kept in (drop[:97], drop[:97], drop[60:])]
    settings = [{"seed": seed, "lr": lr} for seed, lr in ((0, 1e-4), (0, 1e-3), (1, 1e-4), (1, 1e-3))]
    grid = [(chosen, one) for chosen in settings for one in sets]
    together = [MetaAdapter(memory=memory, batch_size=20, **chosen) for chosen, _ in grid]
    fit_many(together, [one for _, one in grid])
    for head, (chosen, (X, y, text)) in zip(together, grid, strict=True):
        alone = MetaAdapter(memory=memory, batch_size=20, **chosen).fit(X, y, text=text)
        np.testing.assert_allclose(head.losses_, alone.losses_, rtol=1e-5, atol=1e-6)
        for name, expected in alone._arrays().items():
            np.testing.assert_allclose(getattr(head, name), expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_learnt_on_base_classes_and_adapted_to_new_ones(tmp_path: Path) -> None:
    views, labels = _support(16)
    base, new = labels < 5, labels >= 5
    learnt = MetaAdapter(epochs=20).meta_fit((views[base], labels[base], TIP[:5]))
    with pytest.raises(AdapterError, match="knows no class yet"):
        learnt.predict(TEST)
    learnt.save(tmp_path)
    online = MetaAdapter.load(tmp_path).adapt(views[new], labels[new] - 5, TIP[5:])
    tested = TEST_LABELS >= 5
    zero_shot = ((unit(TEST[tested]) @ TIP[5:].T).argmax(1) == TEST_LABELS[tested] - 5).mean()
    assert online.score(TEST[tested], TEST_LABELS[tested] - 5) > zero_shot
    rows = SimpleNamespace(images=views.mean(1)[new], views=views[new], labels=labels[new] - 5)
    again = MetaAdapter.load(tmp_path).adapt(rows, TIP[5:])
    np.testing.assert_array_equal(again.adapted_, online.adapted_)
    through_fit = MetaAdapter(meta=str(tmp_path)).fit(views[new], labels[new] - 5, text=TIP[5:])
    np.testing.assert_array_equal(through_fit.adapted_, online.adapted_)
    assert len(learnt.adapted_) == 0  # adapt makes a new head


def test_several_base_sets_are_learnt_together() -> None:
    views, labels = _support(4)
    one, other = labels < 5, labels >= 5
    sets = (views[one], labels[one], TIP[:5]), (views[other], labels[other] - 5, TIP[5:])
    both = MetaAdapter().meta_fit(*sets)
    assert len(both.losses_) == 2 * len(MetaAdapter().meta_fit(sets[0]).losses_)
    with pytest.raises(AdapterError, match="of one encoder"):
        MetaAdapter().meta_fit(sets[0], (np.eye(4), np.arange(4), np.eye(4)))
    with pytest.raises(AdapterError, match="no set"):
        MetaAdapter().meta_fit()


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    views, labels = _support(4)
    with pytest.raises(AdapterError, match="4 columns; the weights were learnt on 64"):
        _with(_weights()).adapt(np.eye(4), np.arange(4), np.eye(4))
    ClipAdapter(epochs=1).fit(views, labels, text=TIP).save(tmp_path / "clip")
    with pytest.raises(AdapterError, match="of method 'clip'"):
        MetaAdapter.load(tmp_path / "clip")
    MetaAdapter().fit(views, labels, text=TIP).save(tmp_path / "meta")
    with pytest.raises(AdapterError, match="was learnt on 64"):
        MetaAdapter(meta=str(tmp_path / "meta")).fit(np.eye(4), np.arange(4), text=np.eye(4))
    with pytest.raises(AdapterError, match="held-out or fifo"):
        MetaAdapter(memory="all").fit(views, labels, text=TIP)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"weight_decay": -1.0}, {"batch_size": 0}, {"epochs": -1}])
def test_parameters_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        MetaAdapter(**wrong).fit(np.eye(4), [0, 1, 2, 3])


def test_order_and_scale_change_nothing() -> None:
    views, labels = _support(4)
    plain = _with(_weights()).adapt(views, labels, TIP).decision_function(TEST)
    rows, classes = np.random.default_rng(0).permutation(40), np.random.default_rng(1).permutation(10)
    other = _with(_weights()).adapt(10 * views[rows], np.argsort(classes)[labels[rows]], TIP[classes])
    np.testing.assert_allclose(other.decision_function(10 * TEST), plain[:, classes], atol=2e-3)
