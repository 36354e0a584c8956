"""TIMO and TIMO-S against the authors' code: guided text, weights, logits and both searches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.gda import GDA, discriminant
from adapters.heads.timo import TIMO, MatchedPrompts, pieces, prompt_numbers
from adapters.selection.alpha_choice import lines
from adapters.support import Rows, Support, class_means
from tests.golden_files import golden

DATA, SUPPORT, TEXT, EXPECTED = golden("data", "support", "text_weights", "timo")
TEST, VAL, RAW = DATA["test_features"], (DATA["val_features"], DATA["val_labels"]), DATA["text_raw"]
PROMPTS = SimpleNamespace(features=RAW, weights=lambda: TEXT["tip"])


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["views"][:, rows].transpose(1, 0, 2), SUPPORT["labels"][rows]


def _close(actual: np.ndarray, expected: np.ndarray, rtol: float = 1e-4) -> None:
    """To a share of the largest entry."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("shots", [4, 16])
@pytest.mark.parametrize("name", ["timo", "timos"])
def test_is_the_authors(shots: int, name: str) -> None:
    beta, number, ratio = EXPECTED[f"k{shots}_{name}_gamma_beta_alpha"]
    head = TIMO(alpha=100 / ratio, beta=beta, prompt_rows=None if name == "timo" else int(number))
    head.fit(*_support(shots), text=PROMPTS)
    np.testing.assert_allclose(head.guided_text_, EXPECTED[f"k{shots}_{name}_text"], atol=1e-5)
    _close(head.weight_, EXPECTED[f"k{shots}_{name}_W"].T)
    _close(head.bias_, EXPECTED[f"k{shots}_{name}_b"])
    _close(head.decision_function(TEST) * ratio / 100, EXPECTED[f"k{shots}_{name}_logits"])


@pytest.mark.parametrize("shots", [4, 16])
def test_matching_and_searches_are_the_authors(shots: int) -> None:
    matched = MatchedPrompts(Support.check(*_support(shots), PROMPTS))
    np.testing.assert_allclose(matched.matching, EXPECTED[f"k{shots}_matching"], atol=1e-6)
    splits = [(matched, Rows(unit(VAL[0]), VAL[1]))]
    alphas = 100 / 10.0 ** np.arange(-4, 5)  # the published ratios of the text, as ratios of the discriminant
    beta = EXPECTED[f"k{shots}_timos_gamma_beta_alpha"][0]
    for name, at, numbers in (("timo", 50.0, [7]), ("timos", beta, prompt_numbers(7))):
        found = lines(pieces(splits, at, numbers, 100.0))
        counts = np.array([len(VAL[1]) * line.path.accuracy(alphas) for line in found.values()])
        assert np.abs(counts - EXPECTED[f"k{shots}_{name}_val_correct"]).max() < 1.5
    chosen = TIMO().tuned(*_support(shots), text=PROMPTS, held_out=VAL)
    assert chosen.beta == beta
    assert chosen.prompt_rows in prompt_numbers(7)
    right = (chosen.fit(*_support(shots), text=PROMPTS).predict(VAL[0]) == VAL[1]).sum()
    assert right >= EXPECTED[f"k{shots}_timos_val_correct"].max()
    assert right == round(chosen.alpha_choice_.accuracy * len(VAL[1]))


def test_the_search_tries_the_same_classifiers_at_any_scale() -> None:
    small, large = (TIMO(logit_scale=s).tuned(*_support(4), text=PROMPTS, held_out=VAL) for s in (17.0, 100.0))
    assert small.alpha / 17 == pytest.approx(large.alpha / 100, rel=1e-4)
    assert (small.beta, small.prompt_rows) == (large.beta, large.prompt_rows)


def test_a_missing_prompt_is_as_if_it_never_was() -> None:
    ragged = RAW.copy()
    ragged[:, 5:] = np.nan
    text = [SimpleNamespace(features=raw, weights=lambda: TEXT["tip"]) for raw in (ragged, RAW[:, :5])]
    padded, short = (TIMO().fit(*_support(4), text=t).decision_function(TEST) for t in text)
    np.testing.assert_array_equal(padded, short)


def test_no_more_prompts_than_twice_all() -> None:
    views, labels = _support(4)
    most, beyond = (TIMO(prompt_rows=n).fit(views, labels, text=PROMPTS).weight_ for n in (14, 99))
    np.testing.assert_array_equal(most, beyond)
    assert np.abs(TIMO(prompt_rows=13).fit(views, labels, text=PROMPTS).weight_ - most).max() > 1e-4


def test_sharpness_zero_is_the_plain_mean_and_infinity_the_best_prompt() -> None:
    views, labels = _support(4)
    units = unit(RAW)
    flat = TIMO(beta=0).fit(views, labels, text=PROMPTS)
    np.testing.assert_allclose(flat.guided_text_, unit(units.mean(1)), atol=1e-6)
    sharp = TIMO(beta=1e6).fit(views, labels, text=PROMPTS)
    best = EXPECTED["k4_matching"].argmax(1)
    np.testing.assert_allclose(sharp.guided_text_, units[np.arange(10), best], atol=1e-6)


def test_classes_without_images_keep_their_plain_text() -> None:
    views, labels = _support(4)
    kept = labels != 4
    head = TIMO().fit(views[kept], labels[kept], text=PROMPTS)
    np.testing.assert_allclose(head.guided_text_[4], unit(unit(RAW[4]).mean(0)), atol=1e-6)


def test_numbers_of_prompts() -> None:
    assert prompt_numbers(7) == [1, 2, 3, 5, 6, 8, 9, 11, 12, 14]
    assert prompt_numbers(1) == [1, 2]


def test_differs_from_gda_by_its_text_alone() -> None:
    """With one prompt a class the guided text is the text, and only that prompt as a row is new."""
    views, labels = _support(16)
    head, gda = (make().fit(views, labels, text=TEXT["tip"]) for make in (TIMO, GDA))
    np.testing.assert_array_equal(head.guided_text_, head.text_)
    np.testing.assert_allclose(head.parts(TEST)[0], gda.parts(TEST)[0])
    scores = (unit(TEXT["tip"]) * class_means(unit(views.mean(1)), labels, 10)).sum(1, keepdims=True)
    rows = np.concatenate([unit(views).reshape(-1, 64), scores * unit(TEXT["tip"])])
    expected = discriminant(rows, np.concatenate([np.repeat(labels, 10), np.arange(10)]), 10)
    _close(head.weight_, expected.weight)
    _close(head.bias_, expected.bias)


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": -1.0}, {"prompt_rows": 0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        TIMO(**wrong).fit(np.eye(4), [0, 1, 2, 3])
