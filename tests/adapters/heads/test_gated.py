"""Gated bottlenecks against the pairs, formed one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu, normalize

from adapters import Gated, ZeroShot
from adapters.errors import AdapterError
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS = golden("data", "support", "text_weights")
TEST, TEXT = DATA["test_features"], WEIGHTS["tip"]
ROWS = SUPPORT["rows_k4"]
VIEWS, LABELS = SUPPORT["views"][:, ROWS].transpose(1, 0, 2), SUPPORT["labels"][ROWS]


def _pair_by_pair(head: Gated, features: np.ndarray, text: np.ndarray) -> np.ndarray:
    """The equations as they are written, in double precision, a row for every pair of an image and a class."""
    f, t, *weights = (
        torch.from_numpy(each).double()
        for each in (features, text, head.image_down_, head.text_down_, head.up_, head.image_gate_, head.text_gate_)
    )
    image_down, text_down, up, image_gate, text_gate = weights
    f, t = normalize(f, dim=1), normalize(t, dim=1)
    h_f, h_t = gelu(f @ image_down.T), gelu(t @ text_down.T)
    logits = torch.empty(len(f), len(t), dtype=torch.float64)
    for i in range(len(f)):
        for c in range(len(t)):
            both = torch.cat([h_f[i], h_t[c], torch.ones(1, dtype=torch.float64)])
            g_f, g_t = torch.sigmoid(image_gate @ both), torch.sigmoid(text_gate @ both)
            image = normalize(f[i] + head.alpha * g_f * (up @ h_f[i]), dim=0)
            said = normalize(t[c] + head.alpha * g_t * (up @ h_t[c]), dim=0)
            logits[i, c] = head.logit_scale * image @ said
    return logits.numpy()


def test_is_the_equations() -> None:
    head = Gated(lr=0.01, epochs=30, alpha=0.7, device="cpu").fit(VIEWS, LABELS, text=TEXT)
    assert max(np.abs(head.image_gate_).max(), np.abs(head.text_gate_).max()) > 0.01  # the gates have learnt
    logits = head.decision_function(TEST[:30])
    np.testing.assert_allclose(logits, _pair_by_pair(head, TEST[:30], TEXT), atol=2e-3)


def test_untrained_it_is_zero_shot() -> None:
    head = untrained(Gated(), VIEWS, LABELS, text=TEXT)
    expected = ZeroShot().fit(VIEWS, LABELS, text=TEXT).decision_function(TEST)
    np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-4)
    assert head.parameters_ == sum(getattr(head, name).size for name in head.learned)


def test_training_lowers_the_loss() -> None:
    losses = Gated(lr=1e-2, epochs=50).fit(VIEWS, LABELS, text=TEXT).losses_
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()


def test_other_classes_are_scored_from_their_text() -> None:
    head = Gated(epochs=5).fit(VIEWS, LABELS, text=TEXT)
    other = head.for_classes(TEXT[[7, 2, 5]])
    np.testing.assert_allclose(other.decision_function(TEST), head.decision_function(TEST)[:, [7, 2, 5]], atol=1e-4)


def test_views_are_trained_on_in_turn() -> None:
    first = Gated(epochs=1).fit(VIEWS[:, :1], LABELS, text=TEXT)
    both = Gated(epochs=1).fit(VIEWS[:, :2], LABELS, text=TEXT)
    np.testing.assert_array_equal(first.up_, both.up_)
    second = Gated(epochs=2).fit(VIEWS[:, :2], LABELS, text=TEXT)
    assert np.abs(second.up_ - Gated(epochs=2).fit(VIEWS[:, :1], LABELS, text=TEXT).up_).max() > 0


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"reduction": 0}, {"lr": -1.0}])
def test_parameters_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(AdapterError, match=next(iter(wrong))):
        Gated(**wrong).fit(np.eye(4), [0, 1, 2, 3])
