"""Meta-Adapter against the authors' code, and what it promises online."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from adapters import methods
from adapters.arrays import Support, unit
from adapters.clip_adapter import ClipAdapter
from adapters.errors import AdapterError
from adapters.meta_adapter import MetaAdapter
from adapters.meta_attention import Memory, MetaSet, Step, Weights, adapted_text, meta_train
from adapters.training import cosine, threads_for

GOLDEN = Path(__file__).parents[1] / "golden"
DATA, SUPPORT, TEXT, META, TRAINED = (
    np.load(GOLDEN / f"{name}.npz")
    for name in ("data", "support", "text_weights", "meta_adapter", "meta_adapter_train")
)
TIP, TEST, TEST_LABELS = TEXT["tip"], DATA["test_features"], DATA["test_labels"]
NONE = torch.zeros(0, dtype=torch.int64)


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _weights() -> Weights:
    return Weights(*(torch.from_numpy(META[name].copy()) for name in Weights._fields))


def _with(weights: Weights) -> MetaAdapter:
    """A head that was meta-trained to given weights."""
    head = MetaAdapter(epochs=0).meta_fit((np.eye(64), np.arange(64), np.eye(64)))
    for name, weight in weights._asdict().items():
        setattr(head, name + "_", weight.numpy())
    return head


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.METHODS, "meta", "meta_adapter:MetaAdapter")
    monkeypatch.setitem(methods.METHODS, "clip", "clip_adapter:ClipAdapter")


@pytest.mark.parametrize("shots", [4, 16])
def test_adapted_text_and_logits_are_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    head = _with(_weights()).adapt(views, labels, TIP)
    np.testing.assert_allclose(head.adapted_, META[f"k{shots}_text"], atol=1e-5)
    np.testing.assert_allclose(head.decision_function(TEST), META[f"k{shots}_logits"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
def test_training_with_the_fifo_memory_is_the_authors(shots: int) -> None:
    rows, weights = SUPPORT[f"rows_k{shots}"], _weights()
    memory = Memory(torch.from_numpy(META[f"k{shots}_memory"].copy()), torch.ones(10, shots, dtype=torch.bool))
    centre = torch.from_numpy(unit(SUPPORT["center"][rows]))[:, None]
    data = MetaSet(centre, torch.from_numpy(SUPPORT["labels"][rows]), torch.from_numpy(TIP), memory)
    order = torch.from_numpy(TRAINED[f"k{shots}_train_order"].astype(np.int64)).flatten(0, 1)
    steps = [(Step(0, batch, NONE), 0) for batch in order]
    with threads_for(0):
        losses = meta_train(weights, [data], steps, fifo=True, rates=cosine(1e-4, 10))
    np.testing.assert_allclose(losses, TRAINED[f"k{shots}_trained_loss"], atol=1e-5)
    for name, weight in weights._asdict().items():
        np.testing.assert_allclose(weight, TRAINED[f"k{shots}_trained_{name}"], atol=5e-6)
    np.testing.assert_allclose(memory.rows, TRAINED[f"k{shots}_trained_memory"], atol=1e-6)
    text = adapted_text(weights, data.text, memory.rows, memory.present).numpy()
    np.testing.assert_allclose(100 * unit(TEST) @ text.T, TRAINED[f"k{shots}_trained_logits"], atol=1e-3, rtol=0)


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
    memory, generator = Memory.of(support, torch.device("cpu")), torch.Generator().manual_seed(0)
    steps = MetaAdapter()._epoch(0, support, generator)
    assert sorted(torch.cat([step.rows for step in steps]).tolist()) == list(range(160))
    for step in steps:
        left = memory.without(step.hidden)
        assert (left.sum(1) == left.sum(1)[0]).all()  # every class is left as many shots, at least half of them
        assert left.sum(1)[0] >= 8
        seen = memory.rows[left]
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


def test_learnt_on_base_classes_and_adapted_to_new_ones(tmp_path: Path, registered: None) -> None:
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


def test_wrong_weights_are_refused(tmp_path: Path, registered: None) -> None:
    views, labels = _support(4)
    with pytest.raises(AdapterError, match="4 columns; the weights were learnt on 64"):
        _with(_weights()).adapt(np.eye(4), np.arange(4), np.eye(4))
    ClipAdapter(epochs=0).fit(views, labels, text=TIP).save(tmp_path / "clip")
    with pytest.raises(AdapterError, match="of method 'clip'"):
        MetaAdapter.load(tmp_path / "clip")
    MetaAdapter().fit(views, labels, text=TIP).save(tmp_path / "meta")
    with pytest.raises(AdapterError, match="was learnt on 64"):
        MetaAdapter(meta=str(tmp_path / "meta")).fit(np.eye(4), np.arange(4), text=np.eye(4))
    with pytest.raises(AdapterError, match="held-out or fifo"):
        MetaAdapter(memory="all").fit(views, labels, text=TIP)


def test_order_and_scale_change_nothing() -> None:
    views, labels = _support(4)
    plain = _with(_weights()).adapt(views, labels, TIP).decision_function(TEST)
    rows, classes = np.random.default_rng(0).permutation(40), np.random.default_rng(1).permutation(10)
    other = _with(_weights()).adapt(10 * views[rows], np.argsort(classes)[labels[rows]], TIP[classes])
    np.testing.assert_allclose(other.decision_function(10 * TEST), plain[:, classes], atol=2e-3)
