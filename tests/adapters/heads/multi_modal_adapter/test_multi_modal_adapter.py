"""Multi-Modal Adapter against the authors' code, and against the plain formula over C + 1 tokens."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu, multi_head_attention_forward, normalize

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.multi_modal_adapter import attention
from adapters.heads.multi_modal_adapter.attention import TextTokens, adapted_logits, initial_weights, train
from adapters.heads.multi_modal_adapter.multi_modal_adapter import MultiModalAdapter
from adapters.heads.zero_shot import ZeroShot
from adapters.methods import load
from adapters.training.loop import AdamW, threads_for
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, TEXT, MMA = golden("data", "support", "text_weights", "clip_mma")
TIP, TEST, TEST_LABELS = TEXT["tip"], DATA["test_features"], DATA["test_labels"]
ROWS = SUPPORT["rows_k4"]
VIEWS, LABELS = SUPPORT["views"][:, ROWS].transpose(1, 0, 2), SUPPORT["labels"][ROWS]
LAYERS = {"down0": "down0", "down1": "down1", "in": "in_proj", "out": "out_proj", "up0": "up0", "up1": "up1"}


def _weights() -> dict[str, torch.Tensor]:
    return {
        f"{ours}_{kind}": torch.from_numpy(MMA[f"{theirs}_{kind[0]}"].copy())
        for ours, theirs in LAYERS.items()
        for kind in ("weight", "bias")
    }


def _head(**params: Any) -> MultiModalAdapter:
    head = untrained(MultiModalAdapter(**params), VIEWS, LABELS, text=TIP)
    head.weights_ = {name: weight.numpy() for name, weight in _weights().items()}
    return head


def _plain(weights: dict[str, torch.Tensor], features: torch.Tensor, text: torch.Tensor, mask: str) -> torch.Tensor:
    """The formula as written: torch's own attention over C + 1 tokens for every image."""
    classes = len(text)
    rows = torch.cat([text.expand(len(features), -1, -1), features[:, None]], 1).transpose(0, 1)
    pairs = torch.zeros(classes + 1, classes + 1, dtype=features.dtype)
    pairs[-1, :-1] = pairs[:-1, -1] = 1
    down = rows @ weights["down0_weight"].T + weights["down0_bias"]
    down = down @ weights["down1_weight"].T + weights["down1_bias"]
    out, _ = multi_head_attention_forward(
        down,
        down,
        down,
        down.shape[2],
        4,
        weights["in_weight"],
        weights["in_bias"],
        None,
        None,
        False,
        0.0,
        weights["out_weight"],
        weights["out_bias"],
        need_weights=False,
        attn_mask=pairs if mask == "additive" else pairs == 0,
    )
    hidden = gelu(out @ weights["up0_weight"].T + weights["up0_bias"])
    adapted = normalize(hidden @ weights["up1_weight"].T + weights["up1_bias"], dim=2)
    blended = normalize(0.2 * adapted + 0.8 * rows, dim=2)
    return 100 * torch.einsum("cbd,bd->bc", blended[:-1], blended[-1])


@pytest.mark.parametrize(
    ("params", "name"),
    [({}, "float"), ({"mask": "cross"}, "boolcross"), ({"adapt_text": False}, "imageonly")],
)
def test_logits_are_the_authors(params: dict[str, Any], name: str) -> None:
    logits = _head(**params).decision_function(TEST)
    np.testing.assert_allclose(logits, MMA[f"{name}_logits"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
def test_training_is_the_authors(shots: int) -> None:
    rows, weights, text = SUPPORT[f"rows_k{shots}"], _weights(), torch.from_numpy(TIP)
    batch = torch.from_numpy(unit(SUPPORT["center"][rows])), torch.from_numpy(SUPPORT["labels"][rows])
    with threads_for(0):
        losses = train(weights, text, [batch] * 10, mask="additive", heads=4, alpha=0.2, adapt_text=True)
    np.testing.assert_allclose(losses, MMA[f"k{shots}_trained_loss"], atol=1e-5)
    head = _head()
    head.weights_ = {name: weight.numpy() for name, weight in weights.items()}
    np.testing.assert_allclose(head.decision_function(TEST), MMA[f"k{shots}_trained_logits"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("mask", ["additive", "cross"])
@pytest.mark.parametrize("classes", [3, 70])
def test_it_is_the_plain_formula_and_so_are_the_gradients(
    mask: str, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In double precision; the second time with several blocks a batch."""
    generator = torch.Generator().manual_seed(0)
    weights = {n: 3 * w.double() for n, w in initial_weights(48, 32, 128, generator).items()}
    text, features = (
        normalize(torch.randn(rows, 48, generator=generator, dtype=torch.float64), dim=1) for rows in (classes, 9)
    )
    labels = torch.arange(9) % classes
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    with threads_for(0):
        logits = _plain(leaves, features, text, mask)
    said = TextTokens.of(weights, text, 4)
    ours = adapted_logits(weights, features, said, mask=mask, heads=4, alpha=0.2, adapt_text=True, logit_scale=100.0)
    torch.testing.assert_close(ours, logits.detach(), atol=1e-9, rtol=0)

    loss = torch.nn.functional.cross_entropy(logits, labels)
    expected = torch.autograd.grad(loss, list(leaves.values()))
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(attention, "BLOCK", 4 * classes * 32)
    monkeypatch.setattr(AdamW, "step", lambda self, gradient, lr: seen.append(gradient))
    batch = features, labels
    with threads_for(0):
        losses = train(weights, text, [batch], mask=mask, heads=4, alpha=0.2, adapt_text=True, weight_decay=0.0)
    assert losses[0].item() == pytest.approx(loss.item(), rel=1e-6)
    for found, wanted in zip(seen, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-8, rtol=1e-8)


def test_the_masks_differ() -> None:
    assert np.abs(_head().decision_function(TEST) - _head(mask="cross").decision_function(TEST)).max() > 1


@pytest.mark.parametrize("params", [{}, {"mask": "cross"}, {"adapt_text": False}])
def test_ratio_zero_is_zero_shot_exactly(params: dict[str, Any]) -> None:
    head = MultiModalAdapter(alpha=0.0, epochs=2, **params).fit(VIEWS, LABELS, text=TIP)
    zero_shot = ZeroShot().fit(VIEWS, LABELS, text=TIP)
    np.testing.assert_array_equal(head.decision_function(TEST), zero_shot.decision_function(TEST))


@pytest.mark.parametrize("mask", ["additive", "cross"])
def test_scale_and_order_change_nothing(mask: str) -> None:
    order = np.random.default_rng(0).permutation(10)
    plain = MultiModalAdapter(mask=mask, epochs=5).fit(VIEWS, LABELS, text=TIP)
    other = MultiModalAdapter(mask=mask, epochs=5).fit(10 * VIEWS, np.argsort(order)[LABELS], text=10 * TIP[order])
    expected = plain.decision_function(TEST)
    np.testing.assert_allclose(other.decision_function(10 * TEST), expected[:, order], atol=5e-3)
    np.testing.assert_allclose(plain.decision_function(TEST[7:9]), expected[7:9], atol=1e-3)  # not on other rows


def test_it_learns_and_its_default_length_is_bounded() -> None:
    head = MultiModalAdapter().fit(VIEWS, LABELS, text=TIP)
    assert len(head.losses_) == 200
    assert head.losses_[-1] < 0.5 * head.losses_[0]
    assert head.score(TEST, TEST_LABELS) > 0.65  # zero-shot is at 0.6
    assert head._epochs(16_000) == 4


def test_other_classes_are_scored_by_the_same_attention() -> None:
    head = _head()
    np.testing.assert_allclose(head.for_classes(TIP).decision_function(TEST), MMA["float_logits"], atol=1e-3)
    assert head.for_classes(TIP[:3]).decision_function(TEST).shape == (400, 3)


def test_parameter_count() -> None:
    assert MultiModalAdapter().count_parameters(dim=512, classes=10, shots=16) == 107_712
    head = _head()
    assert head.parameters_ == sum(weight.size for weight in head.weights_.values())


def test_saved_and_loaded(tmp_path: Path) -> None:
    head = _head(mask="cross").set_params(epochs=1)  # a saved head has had its training
    head.save(tmp_path)
    np.testing.assert_array_equal(load(tmp_path).decision_function(TEST), head.decision_function(TEST))


def test_tuned_takes_a_rate_of_the_authors_search() -> None:
    head = MultiModalAdapter(epochs=10, lr=0.5)
    for rows in (None, (DATA["val_features"], DATA["val_labels"])):
        assert head.tuned(VIEWS, LABELS, text=TIP, held_out=rows).lr in (1e-4, 1e-3, 1e-2)


def test_seeds_matter_and_global_random_state_does_not() -> None:
    before = torch.get_rng_state()
    first, same, other = (
        MultiModalAdapter(epochs=2, seed=s).fit(VIEWS, LABELS, text=TIP).decision_function(TEST) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [{"mask": "bool"}, {"width": 130}, {"alpha": 2.0}, {"epochs": -1}])
def test_parameters_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    head = MultiModalAdapter().set_params(**copy.copy(wrong))
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        head.fit(VIEWS, LABELS, text=TIP)
