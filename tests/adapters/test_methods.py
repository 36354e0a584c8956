from __future__ import annotations

import subprocess
import sys

import pytest

import adapters
from adapters.commands.shared.options import describe_options, parse_options
from adapters.errors import AdapterError
from adapters.methods import METHODS, describe_methods


def test_names() -> None:
    for name in METHODS:
        assert METHODS[name].method == name
    assert METHODS["tip-f"] is adapters.TipAdapterF


@pytest.mark.parametrize(("typo", "meant"), [("tipf", "tip-f"), ("zero_shot", "zero-shot"), ("Linear", "linear")])
def test_a_typo_is_answered_with_the_nearest_name(typo: str, meant: str) -> None:
    with pytest.raises(AdapterError, match=f"did you mean '{meant}'.*expected one of zero-shot"):
        METHODS[typo]


def test_parameter_counts_are_the_published_ones() -> None:
    counts = {row["name"]: row["parameters"] for row in describe_methods(dim=512, classes=10, shots=16)}
    published = {
        "zero-shot": 0,
        "linear": 10 * 513,
        "clip": 131_072,
        "tip": 0,
        "tip-f": 160 * 512,
        "taskres": 10 * 512,
        "lp++": 10 * (512 + 2),
        "meta": 524_801,
        "mma": 107_712,
        "rapf": 512**2,
        "cil-linear": 512**2,
        "gda": 0,
        "timo": 0,
        "proker": 0,
    }
    assert {name: counts[name] for name in published} == published
    assert {row["name"]: row["parameters"] for row in describe_methods(dim=1024)}["clip"] == 524_288


def test_descriptions_have_the_promised_keys() -> None:
    for row in describe_methods():
        assert row["try_when"]
        assert list(row) == ["name", "class", "trains", "parameters", "needs", "group", "source", "select", "try_when"]
        assert getattr(adapters, row["class"]) is METHODS[row["name"]]


def test_public_names_resolve() -> None:
    for name in adapters.__all__:
        assert getattr(adapters, name) is not None
        assert name in dir(adapters)
    with pytest.raises(AttributeError, match="no attribute 'Tipp'"):
        _ = adapters.Tipp


def test_import_is_light() -> None:
    code = (
        "import sys, adapters; assert not {'torch', 'sklearn', 'faiss'} & set(sys.modules)\n"
        "import adapters.methods; adapters.methods.METHODS['linear']\n"
        "assert not {'torch', 'faiss', 'open_clip', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("method", METHODS)
def test_every_option_can_be_typed(method: str) -> None:
    """An option's own default, as text, gives that default again; none is taken by `adapters fit` itself."""
    for option in describe_options(method):
        assert option["meaning"], f"{option['option']} is not explained"
        assert option["option"] not in ("--prompts", "--shots", "--select", "--cache", "--out", "--root", "--json")
        if option["default"] is not None:
            name = option["option"].removeprefix("--").replace("-", "_")
            assert parse_options(method, [option["option"], str(option["default"])]) == {name: option["default"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--covariance", "round"], "expected shrunk or class-mean"),
        (["--alpha", "nan"], "expected a finite number"),
        (["--alpha", "much"], "expected float"),
        (["--alhpa", "1"], "did you mean --alpha"),
        (["--alpha"], "without a value"),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(AdapterError, match=told):
        parse_options("gda", words)
