"""A mixture of encoders against its equations, image by image and expert by expert."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import adapters
from adapters import Mixture, ZeroShot
from adapters.arrays import Block, unit
from adapters.errors import AdapterError
from adapters.heads.mixture import mixture_loss
from adapters.selection.refit import choose_by_refit
from adapters.support import Support
from tests.adapters.blocked import BlockedText
from tests.adapters.untrained import untrained

RNG = np.random.default_rng(0)
BLOCKS = (Block(6, 0.8), Block(5, 0.0), Block(4, 1.2), Block(7, 1.0))
"""Three experts, and an encoder without text."""
CENTRES = RNG.normal(size=(4, 22)).astype(np.float32)
TEXT = BlockedText(unit(np.repeat([1, 0, 1, 1], [6, 5, 4, 7]).astype(np.float32) * CENTRES), BLOCKS)
LABELS = np.arange(24) % 4
VIEWS = (CENTRES[LABELS][:, None] + 1.5 * RNG.normal(size=(24, 2, 22))).astype(np.float32)
TEST = RNG.normal(size=(9, 22)).astype(np.float32)
QUICK = {"epochs": 30, "lr": 0.05, "logit_scale": 20.0, "alpha": 1.0, "device": "cpu"}


def softmax(logits: np.ndarray) -> np.ndarray:
    rows = np.exp(logits - logits.max())
    return rows / rows.sum()


def by_hand(head: Mixture, rows: np.ndarray, text: np.ndarray = TEXT.rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, r and g as the docstring has them, in double precision."""
    edges = np.cumsum([0, *(block.width for block in BLOCKS)])
    parts = [slice(a, b) for a, b in pairwise(edges.tolist())]
    text = text.astype(np.float64)
    router, bias, tau = (np.float64(each) for each in (head.router_, head.router_bias_[0], head.log_temperature_[0]))
    logits, routed, shares = [], [], []
    for x in unit(rows).astype(np.float64):
        f = [x[part] / np.linalg.norm(x[part]) for part in parts]
        r = softmax(router @ np.concatenate(f) + bias)
        g = r.copy()
        if 0 < head.top_k < 3:
            g[np.argsort(-r)[head.top_k :]] = 0
        g = g / g.sum()
        p = np.zeros(len(text))
        for m, place in enumerate((0, 2, 3)):
            t = text[:, parts[place]] / np.linalg.norm(text[:, parts[place]], axis=1, keepdims=True)
            scale = head.logit_scale * BLOCKS[place].scale * np.exp(tau[m] - tau.mean())
            p += g[m] * softmax(scale * t @ f[place])
        z = head.logit_scale * text @ x
        logits.append(z + head.alpha * (np.log(p) - z))
        routed.append(r)
        shares.append(g)
    return np.array(logits), np.array(routed), np.array(shares)


@pytest.mark.parametrize(("top_k", "alpha"), [(0, 1.0), (1, 0.7), (2, 1.0)])
def test_is_the_equations(top_k: int, alpha: float) -> None:
    head = Mixture(top_k=top_k, **{**QUICK, "alpha": alpha}).fit(VIEWS, LABELS, text=TEXT)
    assert min(np.abs(head.router_).max(), np.abs(head.log_temperature_).max()) > 0.01  # all have learnt
    np.testing.assert_allclose(head.decision_function(TEST), by_hand(head, TEST)[0], atol=1e-3)


@pytest.mark.parametrize("top_k", [0, 2])
def test_the_loss_is_the_equation(top_k: int) -> None:
    head = Mixture(top_k=top_k, **QUICK).fit(VIEWS, LABELS, text=TEXT)
    logits, routed, shares = by_hand(head, VIEWS[:, 0])
    used = shares > 0 if top_k else np.eye(3)[routed.argmax(1)]
    uneven = 3 * (routed.mean(0) * used.sum(0) / used.sum()).sum()
    wrong = -np.mean([np.log(softmax(row)[label]) for row, label in zip(logits, LABELS, strict=True)])
    given = {"router": head.router_, "router_bias": head.router_bias_, "log_temperature": head.log_temperature_}
    numbers = {"alpha": 1.0, "load_balance": 0.5, "logit_scale": 20.0}
    loss = mixture_loss(
        {name: torch.from_numpy(array)[None] for name, array in given.items()},
        torch.from_numpy(unit(VIEWS[:, 0]))[None],
        torch.from_numpy(LABELS)[None],
        torch.from_numpy(TEXT.rows)[None],
        **{name: torch.full((1, 1, 1), value) for name, value in numbers.items()},
        blocks=BLOCKS,
        top_k=top_k,
    )
    np.testing.assert_allclose(loss.item(), wrong + 0.5 * uneven, rtol=1e-4)


def test_with_one_encoder_it_is_zero_shot_however_long_it_trains() -> None:
    head = Mixture(**QUICK).fit(VIEWS, LABELS, text=TEXT.rows)
    expected = ZeroShot(logit_scale=20.0).fit(VIEWS, LABELS, text=TEXT.rows)
    np.testing.assert_allclose(head.predict_proba(TEST), expected.predict_proba(TEST), atol=1e-5)


def test_untrained_all_experts_count_alike() -> None:
    head = untrained(Mixture(top_k=0), VIEWS, LABELS, text=TEXT)
    np.testing.assert_allclose(head.decision_function(TEST), by_hand(head, TEST)[0], atol=1e-3)
    assert head.parameters_ == sum(getattr(head, name).size for name in head.learned) == 3 * (22 + 2)


def test_it_finds_the_encoder_that_is_right_on_some_images() -> None:
    """Of two experts each knows two classes and swears on the others; which is which, the image tells."""
    blocks = (Block(5, 1.0), Block(5, 1.0))
    text = BlockedText(unit(np.hstack([np.eye(4, 5), np.eye(4, 5)]).astype(np.float32)), blocks)
    labels = np.arange(40) % 4
    own, wrong = np.eye(4, 5)[labels], np.eye(4, 5)[(labels + 2) % 4]
    known = (labels < 2)[:, None]
    mark = np.full((40, 1), 0.5)  # the fifth number, which no text has
    first, other = np.where(known, own, wrong), np.where(known, wrong, own)
    first[:, 4:], other[:, 4:] = np.where(known, mark, -mark), 0
    rows = np.hstack([first, other]).astype(np.float32)
    head = Mixture(alpha=1.0, epochs=60, lr=0.1, batch_size=40, logit_scale=10.0).fit(rows, labels, text=text)
    assert head.score(rows, labels) == 1.0 > ZeroShot().fit(rows, labels, text=text).score(rows, labels)
    assert head.losses_[-1] < 0.5 * head.losses_[0]


def test_a_saved_head_knows_its_encoders(tmp_path: Path) -> None:
    head = Mixture(**QUICK).fit(VIEWS, LABELS, text=TEXT)
    again = adapters.load(head.save(tmp_path / "run"))
    np.testing.assert_array_equal(again.decision_function(TEST), head.decision_function(TEST))
    other = BlockedText(TEXT.rows[[2, 0]], BLOCKS)
    expected = by_hand(head, TEST, other.rows)[0]
    np.testing.assert_allclose(again.for_classes(other).decision_function(TEST), expected, atol=1e-3)


def test_shots_that_are_held_out_in_turn_keep_their_encoders() -> None:
    support = Support.check(VIEWS, LABELS, TEXT)
    assert support.take(np.arange(8)).blocks == BLOCKS
    head = Mixture(**QUICK)
    choose_by_refit(head, support, None, "alpha")
    assert head.alpha in (0.0, 0.5, 1.0)


@pytest.mark.parametrize("wrong", [{"alpha": 1.5}, {"top_k": -1}, {"load_balance": -1.0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        Mixture(**wrong).fit(np.eye(4), [0, 1, 2, 3])
