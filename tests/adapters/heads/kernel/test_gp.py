"""The Gaussian process against explicit inverses in double precision, and left-out shots against fits without them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from adapters import GaussianProcess, ProKeR
from adapters.errors import AdapterError
from adapters.heads.kernel import gp
from adapters.support import Support
from tests.golden_files import golden

DATA, SUPPORT, TEXT = golden("data", "support", "text_weights")
TIP, TEST = TEXT["tip"], DATA["test_features"]
VAL = DATA["val_features"], DATA["val_labels"]
ROWS = SUPPORT["rows_k4"]
VIEWS, LABELS = SUPPORT["views"][:2, ROWS].transpose(1, 0, 2), SUPPORT["labels"][ROWS]
Kernel = Literal["affinity", "linear"]


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _brute_force(kernel: Kernel, beta: float, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits and variances by an explicit inverse."""

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a @ b.T if kernel == "linear" else np.exp(-beta * (1 - a @ b.T))

    keys, text, test = _unit(VIEWS).reshape(-1, 64), _unit(TIP), _unit(TEST)
    inverse = np.linalg.inv(k(keys, keys) + lam * np.eye(len(keys)))
    target = np.eye(10)[np.repeat(LABELS, 2)] - keys @ text.T
    mean = test @ text.T + k(test, keys) @ inverse @ target
    return 100 * mean, np.diag(k(test, test) - k(test, keys) @ inverse @ k(keys, test))


@pytest.mark.parametrize(
    ("kernel", "beta", "lam"), [("affinity", 4.0, 10.0), ("affinity", 1.0, 0.01), ("linear", 4.0, 0.3)]
)
def test_is_the_equations(kernel: Kernel, beta: float, lam: float) -> None:
    head = GaussianProcess(kernel=kernel, beta=beta, lam=lam).fit(VIEWS, LABELS, text=TIP)
    mean, variance = _brute_force(kernel, beta, lam)
    np.testing.assert_allclose(head.decision_function(TEST), mean, atol=1e-3, rtol=0)
    np.testing.assert_allclose(head.variance(TEST), variance, atol=1e-6, rtol=0)


def test_variance_is_least_at_the_shots(monkeypatch: pytest.MonkeyPatch) -> None:
    head = GaussianProcess(lam=1e-6).fit(VIEWS, LABELS, text=TIP)
    whole = head.variance(TEST)
    assert head.variance(VIEWS[:, 0]).max() < 1e-4 < whole.min()
    assert whole.max() <= 1
    monkeypatch.setattr(gp, "BLOCK", 80 * 7)
    np.testing.assert_allclose(head.variance(TEST), whole, atol=1e-12)


def test_beside_proker() -> None:
    for lam in (1.0, 10.0):
        ours, proker = (make(beta=2.0, lam=lam).fit(VIEWS, LABELS, text=TIP) for make in (GaussianProcess, ProKeR))
        np.testing.assert_allclose(lam * ours.parts(TEST)[1], proker.parts(TEST)[1], atol=1e-2)


@pytest.mark.parametrize("kernel", ["affinity", "linear"])
def test_left_out_shots_are_those_of_fits_without_them(kernel: Kernel) -> None:
    betas, lams = [1.0, 4.0], [0.1, 3.0]
    found, count = GaussianProcess(kernel=kernel)._left_out_answers(Support.check(VIEWS, LABELS, TIP), betas, lams)
    shot, expected = np.arange(40) % 4, np.zeros((2, 2))
    for i, beta in enumerate(betas):
        for j, lam in enumerate(lams):
            head = GaussianProcess(kernel=kernel, beta=beta, lam=lam)
            for out in range(4):
                head.fit(VIEWS[shot != out], LABELS[shot != out], text=TIP)
                own = head.predict(VIEWS[shot == out].reshape(-1, 64))
                expected[i, j] += (own == np.repeat(LABELS[shot == out], 2)).sum() / 2
    np.testing.assert_array_equal(found, expected)
    assert count == 40


def _chosen(head: GaussianProcess, **how: Any) -> tuple[float, float]:
    chosen = head.tuned(VIEWS, LABELS, text=TIP, **how)
    return chosen.beta, chosen.lam


def test_the_best_pair_is_chosen_on_held_out_rows() -> None:
    def right(beta: float, lam: float) -> int:
        head = GaussianProcess(beta=beta, lam=lam).fit(VIEWS, LABELS, text=TIP)
        return int((head.predict(VAL[0]) == VAL[1]).sum())

    beta, lam = _chosen(GaussianProcess(), held_out=VAL)
    assert right(beta, lam) == max(right(b, each) for b in gp.BETAS for each in gp.LAMS) > right(4.0, 10.0)


def test_on_shots_a_little_better_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.full((len(gp.BETAS), len(gp.LAMS)), 20.0)
    monkeypatch.setattr(GaussianProcess, "_left_out_answers", lambda *_: (found, 40))
    found[0, 0] = 23  # a standard error is 3.2
    kept = GaussianProcess().tuned(VIEWS, LABELS, text=TIP)
    assert (kept.beta, kept.lam) == (4, 10)
    assert "get 3 more of 40 rows right, and 3.2 more say nothing" in kept.selection_note_
    found[0, 0] = found[2, 1] = 24
    assert _chosen(GaussianProcess()) == (4, 3)  # of equals the nearest


def test_with_many_keys_lam_alone_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gp, "SEARCH_ROWS", 79)
    assert _chosen(GaussianProcess(beta=6.0), held_out=VAL)[0] == 6
    monkeypatch.setattr(gp, "SEARCH_ROWS", 80)
    assert _chosen(GaussianProcess(beta=6.0), held_out=VAL)[0] != 6


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"lam": 0.0}, {"max_rows": 0}, {"kernel": "cubic"}])
def test_parameters_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        GaussianProcess(**wrong).fit(np.eye(4), [0, 1, 2, 3])


def test_without_text_no_shot_is_chosen_by_itself() -> None:
    noise, labels = np.random.default_rng(0).normal(size=(32, 16)), np.repeat(np.arange(8), 4)
    found = GaussianProcess(beta=1.0, lam=1.0).tuned(noise, labels)
    # By class means that hold the left-out shot too, a lam of 10 gets half of this noise right.
    assert (found.beta, found.lam) == (1.0, 1.0)
    assert "say nothing" in found.selection_note_
