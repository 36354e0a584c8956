"""The transformer layer over image and classes against torch's own, an image at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from adapters import Instruct, ZeroShot
from adapters.heads.instruct import instruct_loss
from tests.adapters.untrained import untrained
from tests.golden_files import golden

DATA, SUPPORT, WEIGHTS = golden("data", "support", "text_weights")
TEST, TEXT = DATA["test_features"], WEIGHTS["tip"]
ROWS = SUPPORT["rows_k4"]
VIEWS, LABELS = SUPPORT["views"][:, ROWS].transpose(1, 0, 2), SUPPORT["labels"][ROWS]
Mask = Literal["cross", "none"]


def _torchs(head: Instruct) -> nn.TransformerEncoderLayer:
    """The same layer by torch; its norms have a gain of 1 and a bias of 0."""
    dim = head.n_features_in_
    layer = nn.TransformerEncoderLayer(
        dim, head.heads, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    taken = {
        "self_attn.in_proj_weight": np.concatenate([head.query_, head.key_, head.value_]),
        "self_attn.in_proj_bias": np.zeros(3 * dim),
        "self_attn.out_proj.weight": head.out_,
        "self_attn.out_proj.bias": np.zeros(dim),
        "linear1.weight": head.hidden_,
        "linear1.bias": head.hidden_bias_[0],
        "linear2.weight": head.lift_,
        "linear2.bias": head.lift_bias_[0],
    }
    layer.load_state_dict({**layer.state_dict(), **{name: torch.from_numpy(each) for name, each in taken.items()}})
    return layer.train()  # without the fast path, which takes no gradient


def _one_by_one(head: Instruct, features: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, C) and adapted images (N, D), from tokens (1 + C, D) of each image."""
    layer, classes = _torchs(head), len(text)
    mask = None
    if head.mask == "cross":
        mask = ~torch.eye(1 + classes, dtype=torch.bool)
        mask[0], mask[:, 0] = False, False
    logits, images = [], []
    for row in features:
        tokens = torch.cat([row[None], text])
        added = layer(tokens[None], src_mask=mask)[0] - tokens
        adapted = normalize(tokens + head.alpha * added, dim=1)
        logits.append(head.logit_scale * adapted[1:] @ adapted[0])
        images.append(adapted[0])
    return torch.stack(logits), torch.stack(images)


def _doubles(rows: np.ndarray) -> torch.Tensor:
    return normalize(torch.from_numpy(rows).double(), dim=1)


@pytest.mark.parametrize("mask", ["cross", "none"])
def test_is_the_layer(mask: Mask) -> None:
    head = Instruct(lr=1e-3, epochs=5, alpha=0.7, mask=mask, device="cpu").fit(VIEWS, LABELS, text=TEXT)
    assert np.abs(head.out_).max() > 1e-3
    expected, _ = _one_by_one(head, _doubles(TEST[:20]), _doubles(TEXT))
    np.testing.assert_allclose(head.decision_function(TEST[:20]), expected.detach().numpy(), atol=2e-3)


def test_the_masks_differ() -> None:
    by_mask = [Instruct(lr=1e-3, epochs=5, mask=mask).fit(VIEWS, LABELS, text=TEXT) for mask in ("cross", "none")]
    assert np.abs(by_mask[0].decision_function(TEST) - by_mask[1].decision_function(TEST)).max() > 0.1


def test_loss_is_cross_entropy_and_the_cosine_to_the_own_text() -> None:
    head = Instruct(lr=1e-3, epochs=5, align=0.5, logit_scale=20.0).fit(VIEWS, LABELS, text=TEXT)
    features, labels, text = _doubles(VIEWS[:, 0]), torch.from_numpy(LABELS), _doubles(TEXT)
    logits, images = _one_by_one(head, features, text)
    expected = cross_entropy(logits, labels) + 0.5 * (1 - (images * text[labels]).sum(1)).mean()
    weights = {name[:-1]: torch.from_numpy(getattr(head, name)).double() for name in head.learned}
    numbers = {name: torch.full((1, 1), value).double() for name, value in head._numbers().items()}
    found = instruct_loss(weights, features, labels, text, **numbers, heads=head.heads, mask=head.mask)
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_untrained_it_is_zero_shot() -> None:
    head = untrained(Instruct(), VIEWS, LABELS, text=TEXT)
    expected = ZeroShot().fit(VIEWS, LABELS, text=TEXT).decision_function(TEST)
    np.testing.assert_allclose(head.decision_function(TEST), expected, atol=1e-4)
    assert head.parameters_ == sum(getattr(head, name).size for name in head.learned)


def test_training_lowers_the_loss() -> None:
    losses = Instruct(lr=1e-3, epochs=40).fit(VIEWS, LABELS, text=TEXT).losses_
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()


def test_heads_divide_the_width() -> None:
    five, four, eight = (Instruct(lr=1e-3, heads=n, epochs=3).fit(VIEWS, LABELS, text=TEXT) for n in (5, 4, 8))
    np.testing.assert_array_equal(five.out_, four.out_)
    assert np.abs(eight.out_ - four.out_).max() > 0


def test_other_classes_are_scored_from_their_text() -> None:
    head = Instruct(epochs=2).fit(VIEWS, LABELS, text=TEXT)
    other = head.for_classes(TEXT[[7, 2, 5]])
    assert other.decision_function(TEST).shape == (len(TEST), 3)
