"""Which head can do what beside `fit` and logits."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.abilities import (
    BoundToEncoder,
    ClassesFromNeighbours,
    ClassesFromText,
    Incremental,
    LearntOnce,
    LineInAlpha,
    Online,
    TakesClasses,
)
from adapters.blended_head import BlendedHead
from adapters.methods import METHODS
from adapters.training.trained_head import TrainedHead

RNG = np.random.default_rng(0)
BLENDED = {"tip", "tip-f", "tip-x", "ape", "gda", "timo", "cross-modal", "semobridge", "semobridge-t"}
LAST = {"prolip", "reg-linear"}
INCREMENTAL = {"cil-linear", "cil-attention", "rapf"}


@pytest.mark.parametrize(
    ("ability", "methods"),
    [
        (BlendedHead, BLENDED),
        (LineInAlpha, {*BLENDED, "clip", "proker", "gp"}),
        (
            TrainedHead,
            {
                "clip",
                "tip-f",
                "taskres",
                "zs-lp",
                "clap",
                "lp++",
                "cross-modal",
                "prolip",
                "reg-linear",
                "meta",
                "gated",
                "instruct",
                "semobridge-t",
                "consistency",
                "mixture",
            },
        ),
        (
            ClassesFromText,
            {"zero-shot", "auto", "clip", *LAST, "gated", "instruct", "consistency", "mixture", "mma", *INCREMENTAL},
        ),
        (ClassesFromNeighbours, {"gda"}),
        (Online, {"meta"}),
        (LearntOnce, {"meta"}),
        (BoundToEncoder, {"meta"}),
        (Incremental, INCREMENTAL),
        (
            TakesClasses,
            {"zero-shot", "tip", "tip-x", "ape", "gda", "timo", "proker", "gp", "ss-text", "semobridge"},
        ),
    ],
)
def test_who_has_it(ability: type, methods: set[str]) -> None:
    assert {name for name in METHODS if issubclass(METHODS[name], ability)} == methods
    assert {name for name in METHODS if isinstance(METHODS[name](), ability)} == methods


@pytest.mark.parametrize("method", sorted(BLENDED - {"cross-modal", "semobridge-t"}))
def test_logits_are_a_line_in_alpha(method: str) -> None:
    views, labels, text = RNG.normal(size=(12, 2, 8)), np.arange(12) % 3, RNG.normal(size=(3, 8))
    head = METHODS[method](alpha=0.7).fit(views, labels, text=text)
    rows = RNG.normal(size=(5, 8))
    assert isinstance(head, BlendedHead)
    base, delta = head.parts(rows)
    assert base.shape == delta.shape == (5, 3)
    np.testing.assert_array_equal(head.decision_function(rows), base + np.float32(0.7) * delta)
    np.testing.assert_array_equal(head.set_params(alpha=0.0).decision_function(rows), base)
