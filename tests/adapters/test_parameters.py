"""Hyper-parameters as constructors declare them: ranges, words, what is tried, what is said."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from adapters.errors import AdapterError
from adapters.methods import METHODS
from adapters.parameters import Above0, AtLeast1, BelowOne, NotNegative, Range, Ratio, Tried, parameters_of

FREE = {"logit_scale", "seed", "device", "adapt_text", "replay", "shrink", "meta"}
"""Any number, any name, or a switch."""


class Base:
    """A thing.

    Args:
        alpha: how much
            of it.
        kind: which one.
    """

    def __init__(
        self,
        *,
        alpha: Ratio = 0.5,
        kind: Literal["flat", "ivf", "hnsw"] = "flat",
        lr: Annotated[NotNegative, Tried(0.1, 1.0)] | None = None,
        seed: int = 0,
    ) -> None: ...


class Refined(Base):
    """Another.

    Args:
        count: how many.
    """

    def __init__(self, *, alpha: Ratio = 0.1, count: AtLeast1 | None = 3) -> None: ...


def test_what_a_constructor_declares() -> None:
    found = parameters_of(Base)
    assert list(found) == ["alpha", "kind", "lr", "seed"]
    assert found["alpha"].range == Range(0, 1)
    assert found["kind"].kinds == ("flat", "ivf", "hnsw")
    assert found["lr"].tried == (0.1, 1.0)
    assert found["lr"].kinds == (float, type(None))
    assert (found["seed"].range, found["seed"].tried, found["seed"].default) == (None, (), 0)
    assert found["alpha"].meaning == "how much of it."


def test_a_class_that_refines_another_explains_only_what_it_adds() -> None:
    found = parameters_of(Refined)
    assert found["alpha"].meaning == "how much of it."
    assert found["count"].meaning == "how many."
    assert found["alpha"].default == 0.1


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "words"),
    [
        (NotNegative, (0, 3.5, math.inf), (-1e-9, math.nan), "0 or more"),
        (AtLeast1, (1, 7), (0, -1), "1 or more"),
        (Above0, (1e-9, 2), (0, -1), "a number above 0"),
        (Ratio, (0, 0.5, 1), (-0.1, 1.1), "from 0 to 1"),
        (BelowOne, (0, 0.999), (1, -0.1), "0 or more and below 1"),
        (Annotated[float, Range(0, 1, open="low")], (0.1, 1), (0, 1.1), "above 0 to 1"),
    ],
)
def test_ranges(allowed: Any, inside: tuple[float, ...], outside: tuple[float, ...], words: str) -> None:
    (limits,) = allowed.__metadata__
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)
    assert str(limits) == words


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("alpha", 2, "alpha=2; expected from 0 to 1"),
        ("kind", "round", "kind='round'; expected flat, ivf or hnsw"),
        ("lr", -1.0, "lr=-1.0; expected 0 or more, or None"),
    ],
)
def test_what_is_not_allowed_is_named_with_what_is(name: str, value: object, expected: str) -> None:
    with pytest.raises(AdapterError) as caught:
        parameters_of(Base)[name].check(value)
    assert str(caught.value) == expected


def test_what_is_allowed_passes() -> None:
    found = parameters_of(Base)
    for name, value in (("alpha", 1), ("kind", "ivf"), ("lr", None), ("seed", -5)):
        found[name].check(value)


@pytest.mark.parametrize("method", METHODS)
def test_every_option_of_every_method_has_bounds(method: str) -> None:
    for name, parameter in parameters_of(METHODS[method]).items():
        assert bool(parameter.expected) != (name in FREE), f"{method}: {name}"
        assert parameter.meaning or name in FREE, f"{method}: {name} is not explained"
        parameter.check(parameter.default)
        for value in parameter.tried:
            parameter.check(value)


@pytest.mark.parametrize("method", METHODS)
def test_a_head_refuses_what_its_constructor_does_not_allow(method: str) -> None:
    head_class = METHODS[method]
    for name, parameter in parameters_of(head_class).items():
        if parameter.range is not None:
            wrong: object = parameter.range.low - 1
        elif parameter.expected:
            wrong = "nonsense"
        else:
            continue
        with pytest.raises(AdapterError, match=f"{name}="):
            head_class(**{name: wrong}).fit([[1.0, 0.0], [0.0, 1.0]], [0, 1])


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("alpha", "x", "alpha='x'; expected from 0 to 1"),
        ("alpha", True, "alpha=True; expected from 0 to 1"),
        ("alpha", None, "alpha=None; expected from 0 to 1"),
        ("lr", [0.1], r"lr=\[0.1\]; expected 0 or more, or None"),
        ("seed", "a", "seed='a'; expected an integer"),
        ("kind", 3, "kind=3; expected flat, ivf or hnsw"),
    ],
)
def test_values_of_another_type_are_refused_by_name(name: str, value: object, told: str) -> None:
    with pytest.raises(AdapterError, match=told):
        parameters_of(Base)[name].check(value)


def test_numbers_of_numpy_are_numbers() -> None:
    found = parameters_of(Base) | parameters_of(Refined)
    for name, value in (("alpha", np.float32(0.5)), ("seed", np.int64(3)), ("count", np.int32(1)), ("lr", 1)):
        found[name].check(value)
    with pytest.raises(AdapterError, match="count=2.0; expected an integer, 1 or more, or None"):
        found["count"].check(2.0)
