"""How the heads of a method are made, whatever the door: `fit`, `bench`, `search` and Python all follow this."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adapters import methods
from adapters.errors import AdapterError
from adapters.head import Head
from adapters.selection.calibration import calibrate as fit_head_temperature
from adapters.selection.regimes import LEAST_TO_CHOOSE_ON, Lesson, Regime, choose, default_regime, learnt_from

RUN_FACTS = ("logit_scale", "seed", "device")
"""Constructor arguments that a run knows: the encoder's scale, the draw's seed, where to compute."""


@dataclass(frozen=True)
class Recipe:
    """A method with its settings, and what chooses the others.

    Attributes:
        method: its name.
        shots: images a class K, on which depends what it chooses by default.
        params: constructor arguments that were given; nothing is chosen over them.
        select: what may choose the hyper-parameters; None: what the method declares (`Head.chosen_by_default`).
        calibrate: fit a temperature on what that allows.
        device: where heads compute.
    """

    method: str
    shots: int
    params: Mapping[str, Any] = field(default_factory=dict)
    select: Regime | None = None
    calibrate: bool = False
    device: str = "auto"

    @property
    def head_class(self) -> type[Head]:
        """The method's class."""
        return methods.METHODS[self.method]

    @property
    def regime(self) -> Regime:
        """What chooses."""
        head = self.head_class
        own = default_regime(head.chosen_by_default, shots=self.shots, given=self.params)
        return self.select or own

    def build(self, *, logit_scale: float, seed: int) -> Head:
        """An unfitted head.

        Args:
            logit_scale: the encoder's, unless another is among the parameters.
            seed: of the training, likewise.

        Raises:
            AdapterError: no such method, or a parameter that it does not take.
        """
        return build(self.head_class, self.params, logit_scale=logit_scale, seed=seed, device=self.device)

    def choose(self, head: Head, lesson: Lesson) -> Head:
        """An unfitted head with hyper-parameters chosen on what the regime allows.

        Raises:
            AdapterError: the regime chose another value than one that was given.
        """
        chosen = choose(head, lesson, self.regime)
        before, after = head.get_params(), chosen.get_params()
        for name in self.params:
            if before[name] != after[name]:
                flag = f"--{name.replace('_', '-')}"
                raise AdapterError(
                    f"{flag} {before[name]} given, but --select {self.regime.name} chooses it ({after[name]} here): "
                    f"leave {flag} out, or type --select none"
                )
        if self.select is None and self.why_fixed:
            chosen.selection_note_ = f"nothing was chosen: {self.why_fixed}"
        return chosen

    @property
    def why_fixed(self) -> str:
        """Why a method that chooses by default does not choose here; empty where it does, or never would."""
        head = self.head_class
        given = [name for name in head.chosen_by_default if name in self.params]
        if given:
            return f"{' and '.join(given)} given"
        few = bool(head.chosen_by_default) and self.shots < LEAST_TO_CHOOSE_ON
        return f"{self.shots} shots a class are too few for {self.method} to choose on" if few else ""

    def learn(self, lesson: Lesson, seed: int) -> Learned:
        """A head that is built, chosen, fitted and calibrated on a lesson."""
        asked = self.build(logit_scale=float(lesson.text.logit_scale), seed=seed)
        rows = learnt_from(asked, lesson)
        rows.inputs, self.regime.held_out(lesson)  # read them now: fitting must not wait for the disk
        began = time.perf_counter()
        chosen = self.choose(asked, lesson)
        head = chosen.fit(rows.inputs, rows.labels, text=lesson.text)
        notes = [getattr(chosen, "selection_note_", ""), self.calibrated(head, lesson)]
        return Learned(head, time.perf_counter() - began, tuple(filter(None, notes)))

    def calibrated(self, head: Head, lesson: Lesson) -> str:
        """Fit a temperature of a fitted head where that was asked for; what must be said about it."""
        return fit_head_temperature(head, lesson, self.regime) if self.calibrate else ""


@dataclass(frozen=True)
class Learned:
    """A fitted head, the seconds it took (selection and calibration included) and what must be said about it."""

    head: Head
    seconds: float
    notes: tuple[str, ...]


def build(head_class: type[Head], params: Mapping[str, Any], **facts: Any) -> Head:
    """An unfitted head: the caller's `params` over the run's facts (`RUN_FACTS`) that it takes over its own defaults.

    Raises:
        AdapterError: a parameter that it does not take.
    """
    known = set(head_class().get_params())
    if unknown := sorted(set(params) - known):
        raise AdapterError(
            f"{head_class.method} has no option {unknown[0]!r}; expected one of {', '.join(sorted(known)) or 'none'}"
        )
    settings = {name: value for name, value in facts.items() if name in known}
    return head_class(**{**settings, **params})


def hyperparameters(head: Head) -> dict[str, Any]:
    """The head's constructor arguments as JSON-able values, without where it computes."""
    return {name: jsonable(value) for name, value in head.get_params().items() if name != "device"}


def jsonable(value: Any) -> Any:
    """A hyper-parameter as JSON holds it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
