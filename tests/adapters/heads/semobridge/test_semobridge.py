"""SeMoBridge against the authors' code, and its training against the equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from adapters import SeMoBridge, SeMoBridgeT, load
from adapters.arrays import unit
from adapters.errors import AdapterError
from adapters.heads.semobridge.bridge import divergence, inverse
from adapters.heads.semobridge.semobridge_t import BridgeLoss
from tests.golden_files import golden

DATA, SUPPORT, GOLD = golden("data", "support", "semobridge")
TEST = DATA["test_features"]


class Text:
    """Class text with the projection that it came through."""

    projection = GOLD["text_projection"]

    def weights(self) -> np.ndarray:
        return GOLD["text_unit"]


def _support(shots: int) -> tuple[np.ndarray, np.ndarray]:
    rows = SUPPORT[f"rows_k{shots}"]
    return SUPPORT["center"][rows], SUPPORT["labels"][rows]


@pytest.mark.parametrize("shots", [4, 16])
def test_is_the_authors(shots: int) -> None:
    smoothness, text_beta, beta, image_beta, first, second, third = map(float, GOLD["blend"])
    betas = {"text_beta": text_beta, "beta": beta, "image_beta": image_beta}
    head = SeMoBridge(alpha=second / first, gamma=third / second, smoothness=smoothness, **betas)
    head.fit(*_support(shots), text=Text())
    np.testing.assert_allclose(head.inverse_, GOLD["inv_projection"], atol=1e-5)
    np.testing.assert_allclose(head.prototypes_, GOLD[f"k{shots}_prompts"], atol=1e-5)
    cosines = head._cosines(unit(TEST))
    np.testing.assert_allclose(cosines.z2, GOLD[f"k{shots}_z2"], atol=1e-5)
    np.testing.assert_allclose(cosines.z3, GOLD[f"k{shots}_z3"], atol=1e-5)
    np.testing.assert_allclose(divergence(head.means_, head.text_), GOLD[f"k{shots}_divergence"], atol=1e-5)
    logits = head.decision_function(TEST) * first / head.logit_scale
    np.testing.assert_allclose(logits, GOLD[f"k{shots}_logits"], atol=1e-5)


def test_the_loss_is_the_equations() -> None:
    rng = np.random.default_rng(0)
    projection, text = rng.normal(size=(5, 6)), torch.from_numpy(unit(rng.normal(size=(4, 6)))).double()
    features = torch.from_numpy(unit(rng.normal(size=(9, 6)))).double()
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 3, 3, 3])  # no shot of class 2
    weights = {"inverse": torch.from_numpy(rng.normal(size=(6, 5))), "bias": torch.from_numpy(rng.normal(size=(4, 5)))}
    given = torch.from_numpy(projection)
    loss = BridgeLoss(given, torch.from_numpy(np.linalg.pinv(projection)))
    found = loss(
        weights,
        features,
        labels,
        text,
        logit_scale=torch.full((1, 1), 7.0),
        consistency=torch.full((1, 1), 0.3),
        evenness=torch.full((1, 1), 0.2),
    )
    encoded = normalize(features @ weights["inverse"] + weights["bias"][labels], dim=1)
    bridged = encoded @ given
    kept = [0, 1, 3]
    means, inner = (
        normalize(torch.stack([rows[labels == c].mean(0) if c in kept else 0 * rows[0] for c in range(4)]), dim=1)
        for rows in (bridged, encoded)
    )
    own = torch.tensor(kept)
    before = normalize(text @ torch.linalg.pinv(given), dim=1)
    lengths = weights["bias"].norm(dim=1)
    expected = (
        cross_entropy(7 * features @ means.T, labels) / 2
        + cross_entropy(means[kept] @ text.T, own) / 4
        + cross_entropy(inner[kept] @ before.T, own) / 4
        + 0.3 * cross_entropy(normalize(bridged, dim=1) @ means.T, labels)
        + 0.2 * (lengths - lengths.mean()).square().mean()
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_before_its_first_step_it_is_the_closed_form() -> None:
    trained = SeMoBridgeT(steps=1, lr=0.0, device="cpu").fit(*_support(4), text=Text())
    plain = SeMoBridge().fit(*_support(4), text=Text())
    np.testing.assert_allclose(trained.inverse_, plain.inverse_, atol=1e-6)
    np.testing.assert_allclose(trained.decision_function(TEST), plain.decision_function(TEST), atol=1e-3)
    assert trained.parameters_ == 64 * 64 + 10 * 64


def test_training_lowers_the_loss_and_bends_new_images_by_their_classes() -> None:
    head = SeMoBridgeT(steps=60, lr=1e-3, device="cpu").fit(*_support(4), text=Text())
    assert head.losses_[-1] < 0.9 * head.losses_[0]
    rows = unit(TEST[:5])
    z2 = rows @ head.prototypes_.T
    soft = np.exp(z2) / np.exp(z2).sum(1, keepdims=True)
    back = unit(unit(rows @ head.inverse_ + soft @ head.bias_) @ head.projection_)
    np.testing.assert_allclose(head._cosines(rows).z3, back @ head.means_.T, atol=1e-5)
    assert np.abs(head.bias_).max() > 1e-3


def test_ratio_zero_ranks_as_zero_shot() -> None:
    head = SeMoBridge(alpha=0.0).fit(*_support(4), text=Text())
    np.testing.assert_array_equal(head.predict(TEST), (unit(TEST) @ head.text_.T).argmax(1))


@pytest.mark.parametrize("make", [SeMoBridge, lambda: SeMoBridgeT(steps=2)])
def test_tuned_gets_more_held_out_rows_right(make: type[SeMoBridge]) -> None:
    rows = DATA["val_features"], DATA["val_labels"]
    chosen = make().tuned(*_support(4), text=Text(), held_out=rows)
    found = chosen.fit(*_support(4), text=Text()).score(*rows)
    assert found == pytest.approx(chosen.alpha_choice_.accuracy)
    assert found > make().fit(*_support(4), text=Text()).score(*rows)


def test_it_says_that_there_is_no_bridge(tmp_path: object) -> None:
    head = SeMoBridge().fit(*_support(4), text=GOLD["text_unit"])
    assert "--keep pre-projection" in head.prediction_note(TEST)
    head.save(f"{tmp_path}/run")
    assert load(f"{tmp_path}/run").prediction_note(TEST) == head.prediction_note(TEST)
    assert SeMoBridge().fit(*_support(4), text=Text()).prediction_note(TEST) == ""


def test_a_projection_of_another_width_is_refused() -> None:
    text = Text()
    text.projection = GOLD["text_projection"][:, :8]
    with pytest.raises(AdapterError, match=r"text projection has shape \(64, 8\); expected \(E, 64\)"):
        SeMoBridge().fit(*_support(4), text=text)


def test_a_projection_of_which_nothing_would_be_left_is_refused() -> None:
    with pytest.raises(AdapterError, match=r"largest singular value is 0\.2; expected one above 0\.3"):
        inverse(0.2 * np.eye(4, dtype=np.float32))
