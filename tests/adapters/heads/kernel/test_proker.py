"""ProKeR against brute force in double precision; there is no output of the authors' code to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from adapters import ZeroShot
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.kernel import proker, ridge
from adapters.heads.kernel.proker import BETAS, LAMS, ProKeR
from tests.golden_files import golden

DATA, SUPPORT, TEXT = golden("data", "support", "text_weights")
TIP, TEST = TEXT["tip"], DATA["test_features"]
VAL = DATA["val_features"], DATA["val_labels"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _brute_force(views: np.ndarray, labels: np.ndarray, beta: float, lam: float, *, textbook: bool) -> np.ndarray:
    """Logits by an explicit inverse."""
    keys, text, test = _unit(views).reshape(-1, views.shape[2]), _unit(TIP), _unit(TEST)
    target = np.eye(10)[np.repeat(labels, views.shape[1])] - keys @ text.T

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-beta * (1 - a @ b.T))

    k, eye = kernel(keys, keys), np.eye(len(keys))
    a = np.linalg.inv(k + lam * eye) @ target if textbook else np.linalg.inv(k / lam + eye) @ target
    return 100 * (test @ text.T + kernel(test, keys) @ a)


@pytest.mark.parametrize("shots", [4, 16])
@pytest.mark.parametrize(("beta", "lam"), [(0.5, 0.001), (1.75, 0.5), (3.0, 1.0), (10.0, 20.0)])
def test_is_the_equation(shots: int, beta: float, lam: float) -> None:
    views, labels = _support(shots)
    views = views[:, :3]
    head = ProKeR(beta=beta, lam=lam).fit(views, labels, text=TIP)
    expected = _brute_force(views, labels, beta, lam, textbook=False)
    np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-3, rtol=0)


def test_as_ported_is_lam_times_the_textbooks_correction() -> None:
    views, labels = _support(4)
    views = views[:, :2]
    textbook = _brute_force(views, labels, 2.0, 0.1, textbook=True)
    base, delta = ProKeR(beta=2.0, lam=0.1).fit(views, labels, text=TIP).parts(TEST)
    np.testing.assert_allclose(base + delta / 0.1, textbook, atol=5e-3, rtol=0)
    same = ProKeR(beta=2.0, lam=1.0).fit(views, labels, text=TIP).decision_function(TEST)
    np.testing.assert_allclose(same, _brute_force(views, labels, 2.0, 1.0, textbook=True), atol=1e-3, rtol=0)


def test_limits_of_lam() -> None:
    views, labels = _support(4)
    zero_shot = ZeroShot().fit(views, labels, text=TIP).decision_function(TEST)
    near = ProKeR(lam=1e-9).fit(views, labels, text=TIP).decision_function(TEST)
    np.testing.assert_allclose(near, zero_shot, atol=1e-3)
    far = ProKeR(beta=2.0, lam=1e9).fit(views, labels, text=TIP)
    keys = _unit(views).reshape(-1, 64)
    target = np.eye(10)[np.repeat(labels, 10)] - keys @ _unit(TIP).T
    explained = np.exp(-2 * (1 - _unit(TEST) @ keys.T)) @ target
    np.testing.assert_allclose(far.parts(TEST)[1] / 100, explained, rtol=1e-4, atol=1e-4)


def test_text_that_explains_the_classes_leaves_nothing_to_correct() -> None:
    rows = np.eye(5)
    head = ProKeR().fit(rows, np.arange(5), text=rows)  # Y = F W^T
    base, delta = head.parts(np.random.default_rng(0).normal(size=(9, 5)))
    assert np.abs(delta).max() == 0
    assert np.abs(base).max() > 0


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(4)
    head = ProKeR(beta=1.5).fit(views, labels, text=TIP)
    whole = head.decision_function(TEST)
    keys = unit(views).reshape(-1, 64)
    full = np.exp(1.5 * (keys.astype(np.float64) @ keys.T.astype(np.float64) - 1))
    monkeypatch.setattr(ridge, "BLOCK", 400 * 7)
    np.testing.assert_allclose(head._gram().numpy(), full, atol=1e-12)
    np.testing.assert_allclose(head.fit(views, labels, text=TIP).decision_function(TEST), whole, atol=1e-3)


def test_as_many_views_as_fit_are_keys() -> None:
    views, labels = _support(4)
    for most, used in ((1000, 10), (399, 9), (80, 2), (40, 1)):
        head = ProKeR(max_rows=most).fit(views, labels, text=TIP)
        np.testing.assert_array_equal(head.keys_, unit(views[:, :used]).reshape(-1, 64))
    with pytest.raises(AdapterError, match="max_rows=40"):
        ProKeR(max_rows=39).fit(views, labels, text=TIP)


@pytest.mark.parametrize("held_out", [True, False])
def test_search_finds_what_refitting_finds(held_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(4)
    views = views[:, :1]
    monkeypatch.setattr(proker, "SEARCH_ROWS", 10)  # the small grid
    chosen = ProKeR().tuned(views, labels, text=TIP, held_out=VAL if held_out else None)
    pairs = [(beta, lam) for beta in (BETAS[0], BETAS[10], BETAS[-1]) for lam in (LAMS[0], LAMS[5], LAMS[-1])]
    shot = np.arange(40) % 4

    def right(beta: float, lam: float) -> int:
        head = ProKeR(beta=beta, lam=lam)
        if held_out:
            return int((head.fit(views, labels, text=TIP).predict(VAL[0]) == VAL[1]).sum())
        return sum(
            int(
                (
                    head.fit(views[shot != j], labels[shot != j], text=TIP).predict(views[shot == j, 0]) == range(10)
                ).sum()
            )
            for j in range(4)
        )

    assert (chosen.beta, chosen.lam) == max(pairs, key=lambda pair: right(*pair))


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"lam": -1.0}, {"max_rows": 0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        ProKeR(**wrong).fit(np.eye(4), [0, 1, 2, 3])
