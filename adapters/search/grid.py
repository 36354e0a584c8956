"""The grid: which settings are tried, and which of them need no training of their own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from adapters.abilities import LineInAlpha
from adapters.blended_head import BlendedHead
from adapters.errors import AdapterError
from adapters.fitting.recipe import build
from adapters.head import Head
from adapters.methods import METHODS

Setting = dict[str, Any]
"""Constructor arguments of a head."""
MOST = 1_000_000
"""Settings of a grid; more are a slip of the pen."""


@dataclass(frozen=True)
class Grid:
    """Values to try of some options of a method.

    Attributes:
        head_class: the method's class.
        options: the distinct values of each option, in the order they were asked for.
    """

    head_class: type[Head]
    options: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, method: str, options: Mapping[str, Sequence[Any]]) -> Grid:
        """Check what was asked for.

        Raises:
            AdapterError: no such method, an option or a value that it does not take, nothing to choose between.
        """
        head_class = METHODS[method]
        grid = cls(head_class, {name: tuple(dict.fromkeys(values)) for name, values in options.items()})
        if empty := [name for name, values in grid.options.items() if not values]:
            raise AdapterError(f"--{empty[0].replace('_', '-')} was given no value; expected one or more")
        if not grid.varied:
            raise AdapterError(
                "there is nothing to choose between: give an option several values, such as --alpha 0:1:0.05 or "
                f"--lr 1e-3,1e-2; `adapters list {method}` shows the options of {method}"
            )
        if (count := prod(len(values) for values in grid.options.values())) > MOST:
            raise AdapterError(f"{count:,} settings given; expected at most {MOST:,}: give fewer values of an option")
        for setting in grid.settings:
            for alpha in grid.alpha_range or ():
                build(head_class, {**setting, "alpha": alpha})._check_parameters()
            build(head_class, setting)._check_parameters()
        return grid

    @property
    def varied(self) -> tuple[str, ...]:
        """Options with several values."""
        return tuple(name for name, values in self.options.items() if len(values) > 1)

    @property
    def alpha_range(self) -> tuple[float, float] | None:
        """The range of alpha, where every alpha of it is scored exactly from one fit.

        So it is where only prediction sees alpha (`BlendedHead`), or where training is given one of its own.
        """
        apart = issubclass(self.head_class, LineInAlpha) and None not in self.options.get("train_alpha", (None,))
        return self.alpha_span if issubclass(self.head_class, BlendedHead) or apart else None

    @property
    def alpha_span(self) -> tuple[float, float] | None:
        """From the least to the largest alpha, where there are several."""
        alphas = self.options.get("alpha", ())
        return (float(min(alphas)), float(max(alphas))) if len(alphas) > 1 else None

    @property
    def drawn(self) -> str:
        """The option that the picture is against: alpha, else the first varied one with numbers, else the first."""
        numbers = [name for name in self.varied if all(type(value) in (int, float) for value in self.options[name])]
        return "alpha" if "alpha" in self.varied else [*numbers, *self.varied][0]

    @cached_property
    def settings(self) -> list[Setting]:
        """Every combination that is fitted, in grid order; alpha changes first where it is trained."""
        options = {name: values for name, values in self.options.items() if name != "alpha"}
        if "alpha" in self.options and self.alpha_range is None:
            options["alpha"] = self.options["alpha"]
        return [
            self._trained(dict(zip(options, values, strict=True))) for values in itertools.product(*options.values())
        ]

    @property
    def defaults(self) -> Setting:
        """What is used where nothing can be chosen: the options with one value; the others stay at their defaults."""
        return {name: values[0] for name, values in self.options.items() if len(values) == 1}

    def takes(self, option: str, value: float) -> bool:
        """Whether the method has no objection to another value of an option."""
        try:
            build(self.head_class, {**self.settings[0], option: value})._check_parameters()
        except AdapterError:
            return False
        return True

    def _trained(self, setting: Setting) -> Setting:
        """With the alpha of training, where a method has one beside that of prediction (tip-f), held at its default."""
        known = self.head_class().get_params()
        if self.alpha_range is None or "train_alpha" not in known or setting.get("train_alpha") is not None:
            return setting
        return {**setting, "train_alpha": known["alpha"]}
