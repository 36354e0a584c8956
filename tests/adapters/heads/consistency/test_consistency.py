"""Prompts over shots, images over prompts, and the loss, one row at a time in double precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize, softmax

from adapters import Consistency, ZeroShot
from adapters.errors import AdapterError
from adapters.heads.consistency.attention import _apart, consistency_loss
from adapters.heads.consistency.consistency import MOST_PROMPTS
from adapters.support import Support
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS = golden("data", "support", "text_weights")
TEST, TIP = DATA["test_features"], WEIGHTS["tip"]
ROWS = SUPPORT["rows_k4"]
VIEWS, LABELS = SUPPORT["views"][:3, ROWS].transpose(1, 0, 2), SUPPORT["labels"][ROWS]
QUICK = {"lr": 1e-2, "epochs": 8}


@dataclass
class Prompts:
    """A text of several prompts a class, as caches give it."""

    features: np.ndarray

    def weights(self) -> np.ndarray:
        return np.nanmean(self.features, axis=1)


def prompts(count: int = 3) -> Prompts:
    noise = np.random.default_rng(0).normal(size=(10, count, 64))
    features = (TIP[:, None] + 0.05 * noise).astype(np.float32)
    features[4, 2:] = np.nan  # a class with fewer
    return Prompts(features)


def _doubles(rows: np.ndarray) -> Tensor:
    return normalize(torch.from_numpy(rows).double(), dim=-1)


def _weights(head: Consistency) -> dict[str, Tensor]:
    names = head._initial(64, torch.Generator())
    return {name: torch.from_numpy(getattr(head, f"{name}_")).double() for name in names}


def _attend(query: Tensor, keys: Tensor, head: dict[str, Tensor]) -> Tensor:
    scores = torch.stack([(head["query"] @ query) @ (head["key"] @ key) for key in keys]) / len(head["query"]) ** 0.5
    return sum((s * (head["value"] @ key) for s, key in zip(softmax(scores, 0), keys, strict=True)), torch.zeros(()))


def _one_by_one(head: Consistency, features: Tensor, text: Prompts) -> tuple[Tensor, Tensor]:
    """Logits (N, C) and those by prompt (N, C, T), from the shots themselves."""
    learned = _weights(head)
    logits, by_prompt = [], []
    for c in range(10):
        own = _doubles(text.features[c, np.isfinite(text.features[c]).all(1)])
        own = own[np.arange(text.features.shape[1]) % len(own)]
        shots = _doubles(VIEWS[c == LABELS]).reshape(-1, 64)
        found = torch.stack([learned["text_up"] @ _attend(p, shots, learned) for p in own])
        said = normalize(_doubles(text.weights())[c] + head.alpha * found.mean(0), dim=0)
        variants = normalize(own + head.alpha * found, dim=1)
        moved = torch.stack([learned["image_up"] @ _attend(f, own, learned) for f in features])
        images = normalize(features + head.alpha * moved, dim=1)
        logits.append(head.logit_scale * images @ said)
        by_prompt.append(head.logit_scale * images @ variants.T)
    return torch.stack(logits, 1), torch.stack(by_prompt, 1)


def test_is_the_equations() -> None:
    text = prompts()
    head = Consistency(alpha=0.7, **QUICK).fit(VIEWS, LABELS, text=text)
    assert min(np.abs(head.text_up_).max(), np.abs(head.image_up_).max()) > 0.01
    expected, _ = _one_by_one(head, _doubles(TEST[:12]), text)
    np.testing.assert_allclose(head.decision_function(TEST[:12]), expected.numpy(), atol=2e-3)


def _symmetric(p: Tensor, q: Tensor) -> Tensor:
    """Half of both divergences (...) of logits (..., C)."""
    p, q = log_softmax(p, -1), log_softmax(q, -1)
    both = [kl_div(first, second, log_target=True, reduction="none").sum(-1) for first, second in ((q, p), (p, q))]
    return torch.stack(both).mean(0)


def test_loss_is_cross_entropy_and_both_agreements() -> None:
    text = prompts()
    head = Consistency(agree_views=0.5, agree_prompts=0.25, logit_scale=20.0, **QUICK).fit(VIEWS, LABELS, text=text)
    support = Support.check(VIEWS, LABELS, text)
    some = np.array([0, 5, 9, 30])
    features = _doubles(np.concatenate([VIEWS[some, 0], VIEWS[some, 1]]))
    labels = torch.from_numpy(np.tile(LABELS[some], 2))
    logits, by_prompt = _one_by_one(head, features, text)
    pairs = [_symmetric(by_prompt[..., t], by_prompt[..., (t + 1) % 3]).mean() for t in range(3)]
    views = _symmetric(logits[:4], logits[4:]).mean()
    expected = cross_entropy(logits, labels) + 0.5 * views + 0.25 * torch.stack(pairs).mean()
    weights = _weights(head)
    numbers = {name: torch.full((1, 1), value).double() for name, value in head._numbers().items()}
    given = head._compared(support).double()
    found = consistency_loss(weights, features, labels, given, **numbers, prompts=3, views=True)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    alone = consistency_loss(weights, features, labels, given, **numbers, prompts=1, views=False)
    assert float(alone) != pytest.approx(float(expected), rel=1e-3)


def test_what_is_compared_with_gets_no_gradient() -> None:
    first = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    second = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    _apart(log_softmax(first, -1), log_softmax(second, -1)).sum().backward()  # type: ignore[no-untyped-call]
    # Of KL(q, p) with q held fast, half: (p - q) / 2.
    np.testing.assert_allclose(first.grad, (softmax(first.detach(), -1) - softmax(second, -1)) / 2, atol=1e-6)


def test_a_step_sees_two_views_of_its_images() -> None:
    head = Consistency(epochs=2, batch_size=8)
    rows = head._plan(Support.check(VIEWS, LABELS, prompts())).rows
    assert rows.shape == (10, 16)
    first, second = rows[:, :8], rows[:, 8:]
    assert torch.equal(first // 3, second // 3)
    views = [(part % 3).unique().tolist() for part in (first[:5], second[:5], first[5:], second[5:])]
    assert views == [[0], [1], [1], [2]]


def test_agreement_makes_views_agree() -> None:
    def apart(weight: float) -> float:
        head = Consistency(agree_views=weight, lr=3e-3, epochs=30).fit(VIEWS, LABELS, text=TIP)
        first, second = (torch.from_numpy(head.decision_function(VIEWS[:, v])) for v in (0, 1))
        return float(_symmetric(first, second).mean())

    assert apart(10.0) < 0.9 * apart(0.0)


def test_without_views_and_prompts_it_says_what_it_lacks() -> None:
    with pytest.raises(AdapterError, match="one of each: extract with --views 2 or with several --templates") as error:
        Consistency().fit(VIEWS[:, 0], LABELS, text=TIP)
    assert "\n" not in str(error.value)
    for views, text in ((VIEWS, TIP), (VIEWS[:, 0], prompts())):
        Consistency(epochs=1).fit(views, LABELS, text=text)
    Consistency(epochs=1, agree_views=0, agree_prompts=0).fit(VIEWS[:, 0], LABELS, text=TIP)


def test_of_many_prompts_some_are_taken() -> None:
    head = untrained(Consistency(), VIEWS, LABELS, text=prompts(20))
    assert head.prompts_.shape == (10, MOST_PROMPTS, 64)
    np.testing.assert_allclose(head.prompts_[0, -1], _doubles(prompts(20).features[0, -1]), atol=1e-6)


def test_untrained_it_is_zero_shot() -> None:
    head = untrained(Consistency(), VIEWS, LABELS, text=prompts())
    expected = ZeroShot().fit(VIEWS, LABELS, text=prompts()).decision_function(TEST)
    np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-4)
    assert head.parameters_ == sum(weight.numel() for weight in _weights(head).values())


def test_other_classes_are_scored_from_their_prompts() -> None:
    head = Consistency(**QUICK).fit(VIEWS, LABELS, text=prompts())
    other = head.for_classes(Prompts(prompts().features[[7, 2, 5]]))
    # Their prompts look at no shots: the images alone are moved, as before.
    head.memory_ = np.zeros_like(head.memory_)
    np.testing.assert_allclose(other.decision_function(TEST), head.decision_function(TEST)[:, [7, 2, 5]], atol=1e-4)
