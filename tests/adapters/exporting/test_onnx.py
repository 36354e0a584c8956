"""Every method as an ONNX file: what onnxruntime answers is what the head answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from adapters import Auto, TipAdapter, TipX, ZeroShot
from adapters.abilities import Traced
from adapters.arrays import Floats
from adapters.errors import AdapterError
from adapters.exporting import onnx_file
from adapters.exporting.network import HeadNetwork
from adapters.exporting.onnx_file import run_onnx, to_onnx
from adapters.head import Head
from adapters.heads.auto import candidates
from tests.adapters.heads.test_heads import HEADS, LABELS, TEST, TIP, VIEWS, Make

RATIOS: dict[str, Make] = {
    "clip at 0": lambda **kw: HEADS["clip"](**{"alpha": 0.0, **kw}),
    "taskres at 0": lambda **kw: HEADS["taskres"](**{"alpha": 0.0, **kw}),
    "mma at 0": lambda **kw: HEADS["mma"](**{"alpha": 0.0, **kw}),
    "mma cross": lambda **kw: HEADS["mma"](**{"mask": "cross", **kw}),
    "mma image": lambda **kw: HEADS["mma"](**{"adapt_text": False, **kw}),
    "tip-x without": lambda **kw: TipX(gamma=0.0, **kw),
}
"""Where a setting takes another way through the logits."""
OFF = {"proker": 5e-4}
"""Sums of 400 terms that cancel: in float32 the head's own logits are 3e-4 from those of double precision."""


@pytest.fixture(scope="module")
def rows() -> Floats:
    """5,000 features, raw: those of the test set, and others between them."""
    draw = np.random.default_rng(0)
    one, other = (TEST[draw.integers(len(TEST), size=5_000 - len(TEST))] for _ in range(2))
    between = one + draw.uniform(size=(len(one), 1)) * (other - one)
    return np.concatenate([TEST, between * draw.uniform(0.1, 30, size=(len(one), 1))]).astype(np.float32)


def as_onnx(head: Traced, *, temperature: float = 1.0) -> bytes:
    network = HeadNetwork(head, temperature=temperature, images=None, stored=torch.float16)
    return to_onnx(network, torch.zeros(2, TIP.shape[1]), takes="features", told={"method": "of a test"})


class Together(list[Head]):
    """Heads as one, whose logits stand beside each other: an export takes seconds, whatever it exports."""

    def traced_logits(self, features: torch.Tensor) -> torch.Tensor:
        for head in self:
            assert isinstance(head, Traced)
        return torch.cat([head.traced_logits(features) for head in self], 1)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def heads() -> Iterator[dict[str, Head]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "LARGE", 0)  # `auto` mixes what is in closed form; the others are here themselves
        yield {name: make().fit(VIEWS, LABELS, text=TIP) for name, make in {**HEADS, **RATIOS}.items()}


@pytest.fixture(scope="module")
def found(heads: dict[str, Head], rows: Floats) -> dict[str, Floats]:
    """The logits of each, by one file."""
    logits, _ = run_onnx(as_onnx(Together(heads.values())), rows)
    return dict(zip(heads, np.split(logits, len(heads), axis=1), strict=True))


@pytest.mark.parametrize("name", [*HEADS, *RATIOS])
def test_onnxruntime_answers_as_the_head(
    heads: dict[str, Head], found: dict[str, Floats], rows: Floats, name: str
) -> None:
    head = heads[name]
    if not head.prediction_note(rows):  # else the head's own logits are estimates
        np.testing.assert_allclose(found[name], head.decision_function(rows), rtol=0, atol=OFF.get(name, 1e-4))
    assert (found[name].argmax(1) == head.predict(rows)).all()


def test_probabilities_of_a_mixture_of_trained_heads(rows: Floats) -> None:
    head = HEADS["auto"]().fit(VIEWS[:, 0], LABELS, text=TIP)
    assert isinstance(head, Auto)
    assert len(head.parts_) > 3
    head.temperature_ = 1.7
    logits, probabilities = run_onnx(as_onnx(head, temperature=1.7), rows)
    np.testing.assert_allclose(logits, head.decision_function(rows), rtol=0, atol=1e-4)
    np.testing.assert_allclose(probabilities, head.predict_proba(rows), rtol=0, atol=1e-5)
    content = as_onnx(head)
    one, nothing = (run_onnx(content, given)[0] for given in (rows[:1], np.zeros((3, 64), np.float32)))
    np.testing.assert_allclose(one, logits[:1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(nothing, head.decision_function(np.zeros((3, 64))), rtol=0, atol=1e-4)


def test_nothing_of_this_machine_is_in_the_file() -> None:
    content = as_onnx(ZeroShot().fit(VIEWS, LABELS, text=TIP))
    for place in (Path(torch.__file__).parent, Path(__file__).parents[3], Path.home()):
        assert str(place).encode() not in content
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert {each.key: each.value for each in model.metadata_props} == {"method": "of a test"}
    assert [each.type.tensor_type.shape.dim[0].dim_param for each in model.graph.input] == ["N"]


def test_an_approximate_index_says_why_not() -> None:
    head = TipAdapter(neighbours=3, index="hnsw").fit(VIEWS, LABELS, text=TIP)
    with pytest.raises(
        AdapterError, match="tip with --index hnsw only the nearest keys vote .* fit it with --index fl"
    ):
        as_onnx(head)


def test_more_than_a_file_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 1000)
    with pytest.raises(AdapterError, match="the weights take 0.0 GB, and one ONNX file holds 2: leave out --with-enc"):
        to_onnx(nn.Linear(64, 64), torch.zeros(2, 64), takes="features", told={})


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(AdapterError, match=r"export needs onnxscript: pip install 'featcache\[onnx\]'"):
        to_onnx(nn.Linear(2, 2), torch.zeros(2, 2), takes="features", told={})
