"""CLIP-Adapter against the authors' code (forward pass and three trainings) and against autograd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters import ClipAdapter
from adapters.arrays import unit
from adapters.bottleneck import Batch, Bottleneck, train
from adapters.errors import AdapterError
from adapters.training import threads_for, warmup_cosine

GOLDEN = Path(__file__).parents[1] / "golden"
DATA, SUPPORT, TEXT, FORWARD, TRAIN = (
    np.load(GOLDEN / f"{name}.npz")
    for name in ("data", "support", "text_weights", "clip_adapter", "clip_adapter_train")
)
TIP = torch.from_numpy(TEXT["tip"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads_for(0):
        yield


def _logits(adapter: Bottleneck, features: np.ndarray) -> np.ndarray:
    return (100 * adapter.forward(torch.from_numpy(features)).unit @ TIP.T).numpy()


@pytest.mark.parametrize("normalise", [True, False])
def test_forward_is_the_authors(normalise: bool) -> None:
    features = unit(DATA["test_features"]) if normalise else DATA["test_features"]
    w1, w2 = (torch.from_numpy(FORWARD[name]) for name in ("w1", "w2"))
    for alpha, expected in zip(FORWARD["alpha"], FORWARD["logits"], strict=True):
        np.testing.assert_allclose(_logits(Bottleneck(w1, w2, float(alpha)), features), expected, atol=1e-3, rtol=0)
    adapted = Bottleneck(w1, w2, 1.0).forward(torch.from_numpy(features[:40])).unit.numpy()
    np.testing.assert_allclose(adapted, unit(FORWARD["adapter_out"]), atol=1e-5)


@pytest.mark.parametrize("run", ["const", "sched", "long"])
@pytest.mark.parametrize("shots", [4, 16])
def test_training_is_the_authors(run: str, shots: int) -> None:
    rows = SUPPORT[f"rows_k{shots}"]
    views, labels = torch.from_numpy(unit(SUPPORT["views"][:, rows])), torch.from_numpy(SUPPORT["labels"][rows])
    golden = {name: TRAIN[f"k{shots}_{run}_{name}"] for name in ("w1", "w2", "loss", "lr", "logits")}
    if run == "long":
        batches = [Batch(views[epoch % len(views)], labels) for epoch in range(300)]
    else:
        chosen = TRAIN[f"k{shots}_rows"].astype(np.int64)
        batches = [Batch(views[v][r], labels[r]) for r, v in zip(chosen, TRAIN[f"k{shots}_view"], strict=True)]
    rates = {
        "const": [0.002] * 50,
        "sched": warmup_cosine(0.002, 10, 5),
        "long": warmup_cosine(0.05, 300, 1),
    }[run]
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-12)
    adapter = Bottleneck(*(torch.from_numpy(TRAIN[name].copy()) for name in ("w1_init", "w2_init")), 0.2)
    losses = train(batches, TIP, adapter, None, rates=rates)
    np.testing.assert_allclose(adapter.w1, golden["w1"], atol=2e-6)
    np.testing.assert_allclose(adapter.w2, golden["w2"], atol=2e-6)
    np.testing.assert_allclose(losses, golden["loss"], atol=1e-5)
    np.testing.assert_allclose(_logits(adapter, unit(DATA["test_features"])), golden["logits"], atol=1e-3, rtol=0)


def test_step_with_text_adapter_is_autograds() -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.nn.functional.normalize(torch.randn(7, 8, generator=generator))
    text = torch.nn.functional.normalize(torch.randn(3, 8, generator=generator))
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    ours = [Bottleneck.initial(8, 4, ratio, generator) for ratio in (0.3, 0.6)]
    weights = [w.clone().requires_grad_() for a in ours for w in (a.w1, a.w2)]
    optimizer = torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=5e-4)

    def blend(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, ratio: float) -> torch.Tensor:
        adapted = torch.relu(torch.relu(x @ w1.T) @ w2.T)
        return torch.nn.functional.normalize(ratio * adapted + (1 - ratio) * x)

    expected = []
    for _ in range(5):
        logits = 10 * blend(features, *weights[:2], 0.3) @ blend(text, *weights[2:], 0.6).T
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(float(loss.detach()))
    losses = train([Batch(features, labels)] * 5, text, *ours, rates=[0.05] * 5, logit_scale=10)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for mine, theirs in zip([w for a in ours for w in (a.w1, a.w2)], weights, strict=True):
        torch.testing.assert_close(mine, theirs.detach(), atol=1e-6, rtol=1e-5)


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def test_training_helps_and_the_loss_falls() -> None:
    views, labels = _support(16)
    head = ClipAdapter().fit(views, labels, text=TEXT["tip"])
    zero_shot = ClipAdapter(alpha=0.0, epochs=0).fit(views, labels, text=TEXT["tip"])
    test = DATA["test_features"], DATA["test_labels"]
    assert head.losses_[-20:].mean() < 0.5 * head.losses_[:5].mean()
    assert head.score(*test) > zero_shot.score(*test) + 0.1


def test_the_text_adapter_has_a_ratio_of_its_own() -> None:
    views, labels = _support(4)
    head = ClipAdapter(text_alpha=0.3, epochs=5).fit(views, labels, text=TEXT["tip"])
    plain = ClipAdapter(epochs=5).fit(views, labels, text=TEXT["tip"])
    assert head.parameters_ == 2 * plain.parameters_
    assert not np.allclose(head.decision_function(views[:, 0]), plain.decision_function(views[:, 0]), atol=1e-2)


def test_ratio_is_chosen_on_held_out_rows_or_shots() -> None:
    views, labels = _support(4)
    held_out = DATA["val_features"], DATA["val_labels"]
    test = DATA["test_features"], DATA["test_labels"]
    # At the released learning rate the fixed ratio is far from the best one here.
    fixed = ClipAdapter(lr=2e-3).fit(views, labels, text=TEXT["tip"]).score(*test)
    for rows in (held_out, None):
        chosen = ClipAdapter(seed=3, lr=2e-3).tuned(views, labels, text=TEXT["tip"], held_out=rows)
        assert not hasattr(chosen, "w1_")
        assert chosen.seed == 3
        assert chosen.alpha > 0.2
        assert chosen.fit(views, labels, text=TEXT["tip"]).score(*test) > fixed


@pytest.mark.parametrize(
    "wrong", [{"alpha": 1.5}, {"alpha": -0.1}, {"text_alpha": 2}, {"hidden": 0}, {"batch_size": 0}, {"epochs": -1}]
)
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        ClipAdapter(**wrong).fit(np.eye(4), [0, 1, 2, 3])
