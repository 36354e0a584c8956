"""What holds for every head, whatever its method."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from adapters import (
    APE,
    CLAP,
    GDA,
    TIMO,
    Auto,
    CilAttention,
    CilLinear,
    ClipAdapter,
    Consistency,
    CrossModal,
    Gated,
    GaussianProcess,
    Head,
    Instruct,
    LinearProbe,
    LinearProbePlusPlus,
    MetaAdapter,
    Mixture,
    MultiModalAdapter,
    ProKeR,
    ProLIP,
    Rapf,
    RegularizedLinearAdapter,
    SeMoBridge,
    SeMoBridgeT,
    SSText,
    SSTextU,
    TaskRes,
    TipAdapter,
    TipAdapterF,
    TipX,
    ZeroShot,
    ZeroShotLinearProbe,
)
from adapters.errors import AdapterError
from adapters.heads.auto import candidates
from adapters.methods import METHODS
from tests.golden_files import golden

DATA, SUPPORT, TEXT = golden("data", "support", "text_weights")
ROWS = SUPPORT["rows_k4"]
VIEWS, LABELS = SUPPORT["views"][:, ROWS].transpose(1, 0, 2), SUPPORT["labels"][ROWS]
TIP, TEST, TEST_LABELS = TEXT["tip"], DATA["test_features"], DATA["test_labels"]

Make = Callable[..., Head]
HEADS: dict[str, Make] = {
    "zero-shot": ZeroShot,
    "auto": Auto,
    "linear": LinearProbe,
    "clip": lambda **kw: ClipAdapter(**{"epochs": 20, **kw}),
    "clip with text": lambda **kw: ClipAdapter(**{"epochs": 20, "text_alpha": 0.3, **kw}),
    "tip": TipAdapter,
    "tip neighbours": lambda **kw: TipAdapter(**{"neighbours": 7, **kw}),
    "tip-f": TipAdapterF,
    "taskres": lambda **kw: TaskRes(**{"epochs": 20, **kw}),
    "zs-lp": lambda **kw: ZeroShotLinearProbe(**{"epochs": 20, **kw}),
    "clap": lambda **kw: CLAP(**{"epochs": 20, **kw}),
    "lp++": lambda **kw: LinearProbePlusPlus(**{"epochs": 30, **kw}),
    "cross-modal": lambda **kw: CrossModal(**{"iterations": 200, **kw}),
    "reg-linear": lambda **kw: RegularizedLinearAdapter(**{"steps": 30, **kw}),
    "prolip": lambda **kw: ProLIP(**{"steps": 30, **kw}),
    "gated": lambda **kw: Gated(**{"epochs": 20, **kw}),
    "instruct": lambda **kw: Instruct(**{"epochs": 3, **kw}),
    "consistency": lambda **kw: Consistency(**{"epochs": 3, "agree_views": 0.0, "agree_prompts": 0.0, **kw}),
    "mixture": lambda **kw: Mixture(**{"epochs": 20, **kw}),
    "gda": GDA,
    "timo": TIMO,
    "ape": APE,
    "tip-x": TipX,
    "proker": ProKeR,
    "ss-text": SSText,
    "ss-text-u": SSTextU,
    "semobridge": SeMoBridge,
    "semobridge-t": lambda **kw: SeMoBridgeT(**{"steps": 20, **kw}),
    "gp": GaussianProcess,
    "meta": MetaAdapter,
    "mma": lambda **kw: MultiModalAdapter(**{"epochs": 3, **kw}),
    "cil-linear": CilLinear,
    "cil-attention": CilAttention,
    "rapf": Rapf,
}
RESIDUAL: dict[str, Make] = {
    **{name: HEADS[name] for name in ("clip", "clip with text", "tip", "tip neighbours", "tip-f")},
    **{
        name: HEADS[name]
        for name in ("taskres", "cross-modal", "gda", "ape", "gated", "instruct", "consistency", "mixture")
    },
    **{name: HEADS[name] for name in ("ss-text", "ss-text-u")},
    "tip-x": lambda **kw: TipX(**{"gamma": 0.0, **kw}),
}


@pytest.fixture(autouse=True)
def quick_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` mixes what is in closed form; the other heads that it mixes are here themselves."""
    monkeypatch.setattr(candidates, "LARGE", 0)


def test_every_method_is_here() -> None:
    assert set(METHODS) <= set(HEADS)


SEEDED: dict[str, Make] = {
    "clip": HEADS["clip"],
    "tip-f": lambda **kw: TipAdapterF(**{"batch_size": 16, **kw}),
}

every_head = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)


@every_head
@pytest.mark.parametrize("features", [VIEWS, VIEWS[:, 0]], ids=["views", "one view"])
@pytest.mark.parametrize("text", [TIP, None], ids=["text", "class means"])
def test_contract(make: Make, features: np.ndarray, text: np.ndarray | None) -> None:
    head = make()
    assert head.fit(features, LABELS, text=text) is head
    logits = head.decision_function(TEST)
    assert logits.shape == (400, 10)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(head.predict(TEST), logits.argmax(1))
    np.testing.assert_allclose(head.predict_proba(TEST).sum(1), 1, atol=1e-5)
    assert head.score(TEST, TEST_LABELS) == (logits.argmax(1) == TEST_LABELS).mean()
    assert head.classes_.tolist() == list(range(10))
    assert head.n_features_in_ == 64
    np.testing.assert_allclose(np.linalg.norm(head.text_, axis=1), 1, atol=1e-6)


@every_head
def test_torch_tensors_are_as_good(make: Make) -> None:
    plain = make().fit(VIEWS, LABELS, text=TIP)
    other = make().fit(torch.tensor(VIEWS), torch.tensor(LABELS), text=torch.tensor(TIP))
    np.testing.assert_array_equal(other.decision_function(torch.tensor(TEST)), plain.decision_function(TEST))
    assert other.score(torch.tensor(TEST), torch.tensor(TEST_LABELS)) == plain.score(TEST, TEST_LABELS)


@every_head
def test_scale_of_the_features_changes_nothing(make: Make) -> None:
    plain = make().fit(VIEWS, LABELS, text=TIP).decision_function(TEST)
    scaled = make().fit(10 * VIEWS, LABELS, text=10 * TIP).decision_function(10 * TEST)
    np.testing.assert_allclose(scaled, plain, atol=2e-3)


@every_head
def test_order_of_the_classes_changes_nothing_but_order(make: Make) -> None:
    order = np.random.default_rng(0).permutation(10)
    plain = make().fit(VIEWS, LABELS, text=TIP).decision_function(TEST)
    permuted = make().fit(VIEWS, np.argsort(order)[LABELS], text=TIP[order]).decision_function(TEST)
    np.testing.assert_allclose(permuted, plain[:, order], atol=2e-3)


@pytest.mark.parametrize("name", ["zero-shot", "linear", "tip", "tip neighbours", "tip-f"])
def test_order_of_the_support_changes_nothing(name: str) -> None:
    """For heads that see all rows in one batch."""
    order = np.random.default_rng(0).permutation(40)
    plain = HEADS[name]().fit(VIEWS, LABELS, text=TIP).decision_function(TEST)
    permuted = HEADS[name]().fit(VIEWS[order], LABELS[order], text=TIP).decision_function(TEST)
    np.testing.assert_allclose(permuted, plain, atol=2e-3)


@pytest.mark.parametrize("make", RESIDUAL.values(), ids=RESIDUAL)
def test_ratio_zero_is_zero_shot_exactly(make: Make) -> None:
    off = {"alpha": 0.0, **({"text_alpha": 0.0} if "text_alpha" in make().get_params() else {})}
    head = make(**off).fit(VIEWS, LABELS, text=TIP)
    zero_shot = ZeroShot().fit(VIEWS, LABELS, text=TIP)
    np.testing.assert_array_equal(head.decision_function(TEST), zero_shot.decision_function(TEST))


@every_head
def test_the_logit_scale_of_the_cache_is_used(make: Make) -> None:
    if "logit_scale" not in make().get_params():
        pytest.skip("no text in its logits")
    if isinstance(make(), Auto):
        pytest.skip("calibrated, whatever the scale")
    small, large = (make(logit_scale=s).fit(VIEWS, LABELS, text=TIP) for s in (20.0, 100.0))
    assert small.get_params()["logit_scale"] == 20
    assert np.abs(small.decision_function(TEST)).mean() < 0.8 * np.abs(large.decision_function(TEST)).mean()


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_same_seed_same_head(make: Make) -> None:
    first, same, other = (make(seed=s).fit(VIEWS, LABELS, text=TIP).decision_function(TEST) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-4


@every_head
@pytest.mark.parametrize("held_out", [True, False])
def test_global_random_state_and_threads_are_left_alone(make: Make, held_out: bool) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    rows = (DATA["val_features"][:30], DATA["val_labels"][:30]) if held_out else None
    make().tuned(VIEWS, LABELS, text=TIP, held_out=rows).fit(VIEWS, LABELS, text=TIP)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert torch.get_num_threads() == before[2]


@every_head
def test_inputs_are_left_alone(make: Make) -> None:
    given = VIEWS.copy(), LABELS.copy(), TIP.copy(), TEST.copy()
    make().fit(given[0], given[1], text=given[2]).decision_function(given[3])
    for array, original in zip(given, (VIEWS, LABELS, TIP, TEST), strict=True):
        np.testing.assert_array_equal(array, original)


@every_head
def test_one_shot_leaves_nothing_to_choose_on(make: Make) -> None:
    first = np.flatnonzero(np.arange(40) % 4 == 0)
    head = make()
    chosen = head.tuned(VIEWS[first], LABELS[first], text=TIP)
    assert chosen.get_params() == head.get_params()
    assert "one shot" in chosen.selection_note_


@every_head
def test_scikit_learn_conventions(make: Make) -> None:
    head = make()
    assert clone(head).get_params() == head.get_params()
    with pytest.raises(NotFittedError):
        head.predict(TEST)
    with pytest.raises(NotFittedError):
        head.tuned(VIEWS, LABELS, text=TIP).predict(TEST)
    head.fit(VIEWS, LABELS, text=TIP)
    copy = pickle.loads(pickle.dumps(head))
    np.testing.assert_array_equal(copy.decision_function(TEST), head.decision_function(TEST))
    with pytest.raises(TypeError):
        type(head)(0.5)


@every_head
def test_zero_rows_give_finite_logits(make: Make) -> None:
    views = VIEWS.copy()
    views[3] = 0
    head = make().fit(views, LABELS, text=TIP)
    assert np.isfinite(head.decision_function(np.zeros((2, 64)))).all()


@every_head
def test_a_class_without_rows_is_allowed(make: Make) -> None:
    kept = LABELS != 4
    assert make().fit(VIEWS[kept], LABELS[kept], text=TIP).decision_function(TEST).shape == (400, 10)


@every_head
def test_labels_may_be_anything_without_text(make: Make) -> None:
    names = np.array(list("abcdefghij"))
    head = make().fit(VIEWS, names[LABELS])
    numbers = make().fit(VIEWS, LABELS)
    np.testing.assert_array_equal(head.predict(TEST), names[numbers.predict(TEST)])


@every_head
def test_other_features_than_fitted_on_are_refused(make: Make) -> None:
    head = make().fit(VIEWS, LABELS, text=TIP)
    with pytest.raises(AdapterError, match="63 features"):
        head.decision_function(TEST[:, :63])
    with pytest.raises(AdapterError, match=r"expected \(N, D\)"):
        head.decision_function(VIEWS)
    with pytest.raises(AdapterError, match="held_out X has 63"):
        head.tuned(VIEWS, LABELS, text=TIP, held_out=(TEST[:, :63], TEST_LABELS))
    with pytest.raises(AdapterError, match="expected 0..9"):
        head.tuned(VIEWS, LABELS, text=TIP, held_out=(TEST, TEST_LABELS + 1))


def test_held_out_labels_are_looked_up_where_there_is_no_text() -> None:
    names = np.array(list("abcdefghij"))
    by_name = TipAdapter().tuned(VIEWS, names[LABELS], held_out=(TEST, names[TEST_LABELS]))
    by_number = TipAdapter().tuned(VIEWS, LABELS, held_out=(TEST, TEST_LABELS))
    assert by_name.get_params() == by_number.get_params()
    with pytest.raises(AdapterError, match="which the support does not"):
        TipAdapter().tuned(VIEWS, names[LABELS], held_out=(TEST[:1], ["z"]))


def test_zero_shot_is_the_authors() -> None:
    head = ZeroShot().fit(VIEWS, LABELS, text=TIP)
    np.testing.assert_allclose(head.decision_function(TEST), TEXT["zs_logits_tip"], atol=1e-3, rtol=0)
    head = ZeroShot().fit(VIEWS, LABELS, text=TEXT["mean_raw"])
    np.testing.assert_allclose(head.decision_function(TEST), TEXT["zs_logits_mean_raw"], atol=1e-3, rtol=0)
