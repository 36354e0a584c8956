"""What holds for every head that is solved in closed form: GDA, TIMO, APE, Tip-X and ProKeR."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from adapters import Head, ZeroShot, load
from adapters.heads.gda import GDA
from adapters.heads.kernel.proker import ProKeR
from adapters.heads.timo import TIMO
from adapters.heads.tip.ape import APE
from adapters.heads.tip.tip_x import TipX
from tests.golden_files import golden

DATA, SUPPORT, TEXT = golden("data", "support", "text_weights")
ROWS = SUPPORT["rows_k4"]
VIEWS, LABELS = SUPPORT["views"][:, ROWS].transpose(1, 0, 2), SUPPORT["labels"][ROWS]
TIP, TEST, RAW = TEXT["tip"], DATA["test_features"], DATA["text_raw"]


class Prompts:
    """Text of several prompts a class, as a cache gives it; the first class has fewer than the others."""

    def __init__(self, raw: np.ndarray) -> None:
        self.features = raw.copy()

    def weights(self) -> np.ndarray:
        units = self.features / np.linalg.norm(self.features, axis=2, keepdims=True)
        mean = np.nanmean(units, axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


RAGGED = RAW.copy()
RAGGED[0, 4:] = np.nan

Make = Callable[..., Head]
HEADS: dict[str, Make] = {
    "gda": GDA,
    "gda class-mean": lambda **kw: GDA(covariance="class-mean", **kw),
    "timo": TIMO,
    "timo few prompts": lambda **kw: TIMO(prompt_rows=2, beta=15.0, **kw),
    "ape": APE,
    "tip-x": TipX,
    "proker": ProKeR,
}
OFF = {
    "gda": {"alpha": 0.0},
    "timo": {"alpha": 0.0},
    "ape": {"alpha": 0.0},
    "tip-x": {"alpha": 0.0, "gamma": 0.0},
    "proker": {"lam": 0.0},
}

every_head = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
every_text = pytest.mark.parametrize("raw", [RAW, RAGGED], ids=["prompts", "ragged"])


@every_head
@every_text
def test_scale_of_the_features_changes_nothing(make: Make, raw: np.ndarray) -> None:
    plain = make().fit(VIEWS, LABELS, text=Prompts(raw)).decision_function(TEST)
    scaled = make().fit(10 * VIEWS, LABELS, text=Prompts(10 * raw)).decision_function(10 * TEST)
    np.testing.assert_allclose(scaled, plain, atol=2e-3)


@every_head
@every_text
def test_order_of_the_classes_changes_nothing_but_order(make: Make, raw: np.ndarray) -> None:
    order = np.random.default_rng(0).permutation(10)
    plain = make().fit(VIEWS, LABELS, text=Prompts(raw)).decision_function(TEST)
    permuted = make().fit(VIEWS, np.argsort(order)[LABELS], text=Prompts(raw[order])).decision_function(TEST)
    np.testing.assert_allclose(permuted, plain[:, order], atol=2e-3)


@every_head
def test_order_of_the_support_changes_nothing(make: Make) -> None:
    order = np.random.default_rng(0).permutation(len(LABELS))
    plain = make().fit(VIEWS, LABELS, text=Prompts(RAW)).decision_function(TEST)
    permuted = make().fit(VIEWS[order], LABELS[order], text=Prompts(RAW)).decision_function(TEST)
    np.testing.assert_allclose(permuted, plain, atol=2e-3)


@every_head
def test_order_and_company_of_the_test_rows_change_nothing(make: Make) -> None:
    head = make().fit(VIEWS, LABELS, text=Prompts(RAW))
    whole = head.decision_function(TEST)
    np.testing.assert_allclose(head.decision_function(TEST[::-1][:7]), whole[::-1][:7], atol=1e-3)


@pytest.mark.parametrize("name", OFF)
def test_ratio_zero_is_zero_shot_exactly(name: str) -> None:
    head = HEADS[name](**OFF[name]).fit(VIEWS, LABELS, text=TIP)
    zero_shot = ZeroShot().fit(VIEWS, LABELS, text=TIP)
    np.testing.assert_array_equal(head.decision_function(TEST), zero_shot.decision_function(TEST))


@every_head
@pytest.mark.parametrize("text", [TIP, Prompts(RAGGED), None], ids=["rows", "prompts", "class means"])
def test_saved_head_is_the_same(make: Make, text: object, tmp_path: Path) -> None:
    head = make().fit(VIEWS, LABELS, text=text)
    logits = head.decision_function(TEST)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(load(head.save(tmp_path / "head")).decision_function(TEST), logits)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(head)).decision_function(TEST), logits)
    assert head.parameters_ == 0


@every_head
def test_degenerate_supports_give_finite_logits(make: Make) -> None:
    kept = LABELS != 4
    with_zero = VIEWS.copy()
    with_zero[3] = 0
    for X, y, text in (
        (VIEWS[kept], LABELS[kept], Prompts(RAW)),  # a class without rows
        (with_zero, LABELS, Prompts(RAGGED)),
        (VIEWS[:1], LABELS[:1], Prompts(RAW)),  # one row in all
        (VIEWS[::4, 0], LABELS[::4], Prompts(RAW)),  # one row a class
        (VIEWS[:8], LABELS[:8], None),
        (VIEWS[:4], LABELS[:4], None),  # one class in all
    ):
        logits = make().fit(X, y, text=text).decision_function(np.concatenate([TEST[:5], np.zeros((1, 64))]))
        assert np.isfinite(logits).all()


@every_head
@pytest.mark.parametrize("held_out", [True, False])
def test_choosing_touches_no_global_state_and_gives_a_better_clone(make: Make, held_out: bool) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    rows = (DATA["val_features"][:100], DATA["val_labels"][:100]) if held_out else None
    chosen = make().tuned(VIEWS[:, :4], LABELS, text=Prompts(RAW), held_out=rows)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert torch.get_num_threads() == before[2]
    with pytest.raises(NotFittedError):
        chosen.predict(TEST)
    score = chosen.fit(VIEWS[:, :4], LABELS, text=Prompts(RAW)).score(TEST, DATA["test_labels"])
    zero_shot = ZeroShot().fit(VIEWS[:, :4], LABELS, text=TIP).score(TEST, DATA["test_labels"])
    assert score > zero_shot + 0.05
