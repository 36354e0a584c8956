"""GDA-CLIP against the authors' code: means, weights, logits, the search, and classes without images."""

from __future__ import annotations

import numpy as np
import pytest

from adapters import ZeroShot
from adapters.errors import AdapterError
from adapters.heads import gda
from adapters.heads.gda import GDA, discriminant, new_class_discriminant
from adapters.selection.exact_alpha import alpha_path
from tests.golden_files import golden

DATA, SUPPORT, TEXT, EXPECTED, BASE_TO_NEW = golden("data", "support", "text_weights", "gda", "gda_base2new")
TIP, TEST, VAL = TEXT["tip"], DATA["test_features"], (DATA["val_features"], DATA["val_labels"])


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _close(actual: np.ndarray, expected: np.ndarray, rtol: float = 1e-4) -> None:
    """To a share of the largest entry."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("shots", [4, 16])
def test_is_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    head = GDA().fit(views, labels, text=TIP)
    _close(head.weight_, EXPECTED[f"k{shots}_W"].T)
    _close(head.bias_, EXPECTED[f"k{shots}_b"])
    for alpha, expected in zip((1e-3, 1e-1, 1.0), EXPECTED[f"k{shots}_logits"], strict=True):
        logits = GDA(alpha=alpha).fit(views, labels, text=TIP).decision_function(TEST)
        np.testing.assert_allclose(logits, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shots", [4, 16])
def test_search_is_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    expected = EXPECTED[f"k{shots}_val_correct"]
    path = alpha_path(*GDA().fit(views, labels, text=TIP).parts(VAL[0]), VAL[1], hi=1e3)
    assert np.abs(len(VAL[1]) * path.accuracy(EXPECTED["alphas"]) - expected).max() < 1.5
    chosen = GDA().tuned(views, labels, text=TIP, held_out=VAL)
    right = (chosen.fit(views, labels, text=TIP).predict(VAL[0]) == VAL[1]).sum()
    assert right >= expected.max()
    assert right == round(chosen.alpha_choice_.accuracy * chosen.alpha_choice_.rows)
    best = GDA(alpha=float(EXPECTED[f"k{shots}_best_alpha"])).fit(views, labels, text=TIP)
    _close(best.decision_function(TEST), EXPECTED[f"k{shots}_logits_best"])


@pytest.mark.parametrize("shots", [4, 16])
def test_base_to_new_is_the_authors(shots: int) -> None:
    views, labels = _support(shots)
    base = int(BASE_TO_NEW["num_base"])
    rows = labels < base
    args = views[rows], labels[rows]
    head = GDA(alpha=float(BASE_TO_NEW[f"k{shots}_best_alpha"]), covariance="class-mean")
    head.fit(*args, text=TIP[:base])
    _close(head.weight_, BASE_TO_NEW[f"k{shots}_W_base"].T)
    _close(head.bias_, BASE_TO_NEW[f"k{shots}_b_base"])
    seen = DATA["test_labels"] < base
    np.testing.assert_allclose(
        head.decision_function(TEST[seen]), BASE_TO_NEW[f"k{shots}_logits_base"], atol=5e-3, rtol=0
    )

    new = head.for_new_classes(10 * views[rows], text=TIP[base:])
    _close(new.weight_, BASE_TO_NEW[f"k{shots}_W_new"].T)
    _close(new.bias_, BASE_TO_NEW[f"k{shots}_b_new"])
    np.testing.assert_allclose(
        new.decision_function(TEST[~seen]), BASE_TO_NEW[f"k{shots}_logits_new"], atol=5e-3, rtol=0
    )
    assert new.classes_.tolist() == list(range(10 - base))


def test_new_classes_without_a_base_to_speak_of() -> None:
    """The released script needs 64 base rows; one that is the very text says nothing about the spread."""
    head = GDA().fit(np.eye(3), [0, 1, 2], text=np.eye(3))
    assert head.for_new_classes(np.eye(3), text=np.ones((2, 3))).decision_function(np.eye(3)).shape == (3, 2)
    weight, bias = new_class_discriminant(np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)[:1])
    assert np.abs(weight).max() == np.abs(bias).max() == 0


def test_new_classes_of_another_encoder_are_refused() -> None:
    head = GDA().fit(np.eye(3), [0, 1, 2], text=np.eye(3))
    with pytest.raises(AdapterError, match="text has 4 columns"):
        head.for_new_classes(np.eye(3), text=np.eye(4))
    with pytest.raises(AdapterError, match="X has 4 columns"):
        head.for_new_classes(np.eye(4), text=np.eye(3))


def test_isotropic_spread_is_the_nearest_class_mean() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 8))
    # Each class has a row a step to either side of its mean along every axis.
    steps = 0.1 * np.concatenate([np.eye(8), -np.eye(8)])
    rows = (centres[:, None] + steps).reshape(-1, 8).astype(np.float32)
    weight, bias = discriminant(rows, np.repeat(np.arange(5), 16), 5)
    queries = rng.normal(size=(200, 8)).astype(np.float32)
    nearest = np.linalg.norm(queries[:, None] - centres, axis=2).argmin(1)
    np.testing.assert_array_equal((queries @ weight.T + bias).argmax(1), nearest)


@pytest.mark.parametrize("covariance", ["shrunk", "class-mean"])
def test_one_row_a_class_is_zero_shot(covariance: str) -> None:
    views, labels = _support(4)
    first = views[::4, 0]
    head = GDA(covariance=covariance).fit(first, labels[::4], text=TIP)
    zero_shot = ZeroShot().fit(first, labels[::4], text=TIP)
    np.testing.assert_array_equal(head.predict(TEST), zero_shot.predict(TEST))
    assert np.abs(head.weight_).max() == 0


@pytest.mark.parametrize("covariance", ["shrunk", "class-mean"])
def test_identical_views_say_nothing_either(covariance: str) -> None:
    views, labels = _support(4)
    same = np.repeat(views[::4, :1], 7, axis=1)
    assert np.abs(GDA(covariance=covariance).fit(same, labels[::4], text=TIP).weight_).max() == 0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = _support(4)
    whole = GDA().fit(views, labels, text=TIP).decision_function(TEST)
    monkeypatch.setattr(gda, "BLOCK", 64 * 7)
    np.testing.assert_allclose(GDA().fit(views, labels, text=TIP).decision_function(TEST), whole, atol=1e-4)


def test_support_search_adds_up_over_folds_and_improves() -> None:
    views, labels = _support(16)
    chosen = GDA(alpha=1e-4).tuned(views, labels, text=TIP)
    assert chosen.alpha_choice_.rows == 160
    test = TEST, DATA["test_labels"]
    improved = chosen.fit(views, labels, text=TIP).score(*test)
    assert improved > GDA(alpha=1e-4).fit(views, labels, text=TIP).score(*test) + 0.05


def test_of_two_shots_a_quarter_of_the_classes_lacks_one_at_a_time() -> None:
    """By brute force over alphas: the choice is best on the shots held out so."""
    views, labels = (part[np.arange(160) % 16 < 2] for part in _support(16))
    chosen = GDA().tuned(views, labels, text=TIP)
    first = np.arange(len(labels)) % 2 == 0
    alphas, right = np.geomspace(1e-4, 1e4, 60), np.zeros(61)
    for shot in (first, ~first):
        for quarter in range(4):
            out = shot & (labels % 4 == quarter)
            base, delta = GDA().fit(views[~out], labels[~out], text=TIP).parts(views[out].mean(1))
            tried = [base + np.float32(alpha) * delta for alpha in (*alphas, chosen.alpha)]
            right += [(logits.argmax(1) == labels[out]).sum() for logits in tried]
    assert right[-1] == right.max() == round(chosen.alpha_choice_.accuracy * len(labels))
    assert right.min() < right.max()


def test_alphas_that_change_nothing_leave_alpha() -> None:
    rows = np.repeat(np.eye(3), 2, axis=0)
    chosen = GDA(alpha=0.3).tuned(rows, [0, 0, 1, 1, 2, 2], text=np.eye(3))
    assert chosen.alpha == 0.3
    assert "no setting did better" in chosen.selection_note_
    assert chosen.alpha_choice_[:4] == (0.3, 0.0, np.inf, 1.0)


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"covariance": "full"}])
def test_parameters_out_of_range_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        GDA(**wrong).fit(np.eye(4), [0, 1, 2, 3])
