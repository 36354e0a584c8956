"""CLIP-Adapter against the authors' code (forward pass and three trainings) and against autograd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from adapters import ClipAdapter
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.clip_adapter.bottleneck import adapt, blend, initial
from adapters.heads.clip_adapter.stack import Plan
from adapters.support import Support
from adapters.training.loop import threads_for, warmup_cosine
from adapters.training.spanned import SpannedSGD
from adapters.training.stack import Stack
from adapters.training.trained_head import InTraining
from tests.adapters.untrained import untrained
from tests.golden_files import golden
from tests.rounding import assert_near

DATA, SUPPORT, TEXT, FORWARD, TRAIN = golden("data", "support", "text_weights", "clip_adapter", "clip_adapter_train")
TIP = torch.from_numpy(TEXT["tip"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads_for(0):
        yield


class Planned(ClipAdapter):
    """A head whose training is given: what it starts from, sees and at which rates."""

    given: Mapping[str, Any]

    def _plan(self, support: Support) -> Plan:
        return super()._plan(support)._replace(**self.given)


def _logits(rows: torch.Tensor) -> np.ndarray:
    return (100 * rows @ TIP.T).numpy()


def _train(support: Support, given: Mapping[str, Any], **settings: float) -> tuple[Planned, Stack]:
    head = Planned(**settings)
    head.given = given
    training = InTraining([head], [support])
    training.stack.advance()
    training.finish()
    return head, training.stack


@pytest.mark.parametrize("normalise", [True, False])
def test_forward_is_the_authors(normalise: bool) -> None:
    features = torch.from_numpy(unit(DATA["test_features"]) if normalise else DATA["test_features"])
    w1, w2 = (torch.from_numpy(FORWARD[name]) for name in ("w1", "w2"))
    for alpha, expected in zip(FORWARD["alpha"], FORWARD["logits"], strict=True):
        np.testing.assert_allclose(_logits(blend(features, w1, w2, float(alpha))), expected, atol=1e-3, rtol=0)
    np.testing.assert_allclose(unit(adapt(features[:40], w1, w2).numpy()), unit(FORWARD["adapter_out"]), atol=1e-5)


@pytest.mark.parametrize("run", ["const", "sched", "long"])
@pytest.mark.parametrize("shots", [4, 16])
@pytest.mark.parametrize("spanned", [False, True])
def test_training_is_the_authors(run: str, shots: int, spanned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpannedSGD, "pays", lambda _: spanned)
    support = Support.check(*_support(shots), TEXT["tip"])
    images, views, _ = support.views.shape
    golden = {name: TRAIN[f"k{shots}_{run}_{name}"] for name in ("w1", "w2", "loss", "lr", "logits")}
    if run == "long":
        rows = torch.stack([torch.arange(images) * views + epoch % views for epoch in range(300)])
    else:
        drawn = TRAIN[f"k{shots}_rows"].astype(np.int64) * views + TRAIN[f"k{shots}_view"].astype(np.int64)[:, None]
        rows = torch.from_numpy(drawn)
    rates = {
        "const": [0.002] * 50,
        "sched": warmup_cosine(0.002, 10, 5),
        "long": warmup_cosine(0.05, 300, 1),
    }[run]
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-12)
    start = torch.from_numpy(TRAIN["w1_init"]), torch.from_numpy(TRAIN["w2_init"])
    head, stack = _train(support, {"image": start, "rows": rows, "rates": rates})
    assert isinstance(stack.image.first, SpannedSGD) == spanned
    near = 1e-4 if run == "long" else 2e-6  # three hundred steps enlarge what processors round differently
    assert_near(head.w1_, golden["w1"], rtol=1e-7, atol=near)
    assert_near(head.w2_, golden["w2"], rtol=1e-7, atol=near)
    assert_near(head.losses_, golden["loss"], rtol=1e-7, atol=1e-5)
    assert_near(head.decision_function(DATA["test_features"]), golden["logits"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("rows", [5, 12], ids=["span", "dense"])
@pytest.mark.parametrize("text_alpha", [0.0, 0.6])
def test_step_is_autograds(rows: int, text_alpha: float) -> None:
    generator = torch.Generator().manual_seed(3)
    features, text = torch.randn(rows, 8, generator=generator), torch.randn(3, 8, generator=generator)
    support = Support.check(features, torch.arange(rows) % 3, text)
    features, text = (torch.nn.functional.normalize(each) for each in (features, text))
    starts = [initial(8, 4, generator) for _ in range(2 if text_alpha else 1)]
    batches = torch.stack([torch.randperm(rows, generator=generator)[:4] for _ in range(30)])
    weights = [w.clone().requires_grad_() for start in starts for w in start]
    optimizer = torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=0.1)

    def adapted(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, ratio: float) -> torch.Tensor:
        return torch.nn.functional.normalize(ratio * torch.relu(torch.relu(x @ w1.T) @ w2.T) + (1 - ratio) * x)

    expected = []
    for batch in batches:
        said = adapted(text, *weights[2:], text_alpha) if text_alpha else text
        logits = 10 * adapted(features[batch], *weights[:2], 0.3) @ said.T
        loss = torch.nn.functional.cross_entropy(logits, batch % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(float(loss.detach()))
    settings = {"alpha": 0.3, "text_alpha": text_alpha, "logit_scale": 10.0, "weight_decay": 0.1, "balance": "none"}
    text = starts[1] if text_alpha else None
    plan = {"image": starts[0], "text": text, "rows": batches, "rates": [0.05] * 30}
    head, stack = _train(support, plan, **settings)
    assert isinstance(stack.image.first, SpannedSGD) == (rows <= 8)
    np.testing.assert_allclose(head.losses_, expected, rtol=1e-5)
    learned = [head.w1_, head.w2_, *([head.text_w1_, head.text_w2_] if text_alpha else [])]
    for mine, theirs in zip(learned, weights, strict=True):
        np.testing.assert_allclose(mine, theirs.detach(), atol=1e-6, rtol=1e-5)


def test_rounding_stays_small_in_a_long_training(monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(4)
    support = Support.check(views[:, 0], labels, TEXT["tip"])
    settings = {"epochs": 300, "lr": 0.02, "weight_decay": 0.01}
    x, text, y = (torch.from_numpy(each) for each in (support.unit_views[:, 0], support.text, support.labels))
    plan = ClipAdapter(**settings)._plan(support)
    weights = [w.double().requires_grad_() for w in plan.image]
    optimizer = torch.optim.SGD(weights, lr=1.0, momentum=0.9, weight_decay=0.01)
    for rows, rate in zip(plan.rows, plan.rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        f = x[rows].double()
        blended = 0.2 * torch.relu(torch.relu(f @ weights[0].T) @ weights[1].T) + 0.8 * f
        logits = 100 * torch.nn.functional.normalize(blended) @ text.double().T
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, y[rows]).backward()
        optimizer.step()
    for spanned in (False, True):
        monkeypatch.setattr(SpannedSGD, "pays", lambda _, spanned=spanned: spanned)
        head = ClipAdapter(**settings).fit(views[:, 0], labels, text=TEXT["tip"])
        for mine, reference in zip((head.w1_, head.w2_), weights, strict=True):
            np.testing.assert_allclose(mine, reference.detach(), rtol=0, atol=1e-5)


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def test_training_helps_and_the_loss_falls() -> None:
    views, labels = _support(16)
    head = ClipAdapter().fit(views, labels, text=TEXT["tip"])
    zero_shot = untrained(ClipAdapter(alpha=0.0), views, labels, text=TEXT["tip"])
    test = DATA["test_features"], DATA["test_labels"]
    assert head.losses_[-20:].mean() < 0.5 * head.losses_[:5].mean()
    assert head.score(*test) > zero_shot.score(*test) + 0.1


def test_the_text_adapter_has_a_ratio_of_its_own() -> None:
    views, labels = _support(4)
    head = ClipAdapter(text_alpha=0.3, epochs=5).fit(views, labels, text=TEXT["tip"])
    plain = ClipAdapter(epochs=5).fit(views, labels, text=TEXT["tip"])
    assert head.parameters_ == 2 * plain.parameters_
    assert not np.allclose(head.decision_function(views[:, 0]), plain.decision_function(views[:, 0]), atol=1e-2)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"alpha": 1.5}, {"alpha": -0.1}, {"train_alpha": 2}, {"text_alpha": 2}),
        *({"hidden": 0}, {"batch_size": 0}, {"epochs": -1}),
        *({"lr": -1.0}, {"weight_decay": -1.0}, {"momentum": -1.0}),
    ],
)
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        ClipAdapter(**wrong).fit(np.eye(4), [0, 1, 2, 3])


@pytest.mark.parametrize("text_alpha", [0.0, 0.3])
def test_parts_give_the_predictions_at_every_ratio(text_alpha: float) -> None:
    rows = SUPPORT["rows_k4"]
    head = ClipAdapter(text_alpha=text_alpha, epochs=20)
    head.fit(SUPPORT["views"][0, rows], SUPPORT["labels"][rows], text=TEXT["tip"])
    base, delta = head.parts(10 * DATA["test_features"])
    for alpha in (0.0, 0.1, 0.5, 0.9, 1.0):
        expected = head.set_params(alpha=alpha).decision_function(DATA["test_features"])
        cosines = base + alpha * delta
        scale = np.linalg.norm(expected, axis=1) / np.linalg.norm(cosines, axis=1)
        np.testing.assert_allclose(scale[:, None] * cosines, expected, atol=1e-3)


def test_parts_of_a_training_that_diverged_are_not_finite() -> None:
    views, labels = _support(4)
    head = ClipAdapter(lr=1e30, weight_decay=1e10, epochs=20).fit(views, labels, text=TEXT["tip"])
    assert not np.isfinite(head.parts(DATA["test_features"])[1]).any()


def test_one_held_shot_of_each_class_chooses_alpha_by_cross_entropy() -> None:
    rows = SUPPORT["rows_k4"]
    X, y = SUPPORT["views"][0, rows], SUPPORT["labels"][rows]
    quick = {"epochs": 5, "lr": 0.3, "train_alpha": 0.4, "device": "cpu"}
    chosen = ClipAdapter(held="one-shot", **quick).tuned(X, y, text=TEXT["tip"])
    out = np.arange(40) % 4 == 0
    losses = []
    for alpha in np.linspace(0, 1, 101):
        head = ClipAdapter(alpha=float(alpha), **quick).fit(X[~out], y[~out], text=TEXT["tip"])
        losses.append(-np.log(head.predict_proba(X[out]).astype(np.float64))[np.arange(10), y[out]].mean())
    assert chosen.alpha == pytest.approx(np.argmin(losses) / 100)
    assert 0 < chosen.alpha < 1
    assert chosen.train_alpha == 0.4
    choice = chosen.alpha_choice_
    assert (choice.rows, choice.chosen_on) == (10, "support")
    assert choice.lo <= choice.alpha <= choice.hi
    held_out = {"held_out": (DATA["val_features"], DATA["val_labels"])}
    folds, shot = (ClipAdapter(held=held, **quick) for held in ("folds", "one-shot"))
    assert folds.tuned(X, y, text=TEXT["tip"], **held_out).alpha == shot.tuned(X, y, text=TEXT["tip"], **held_out).alpha
