"""What is asked of a bench, checked: protocol, regime, and the options of some protocols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.errors import AdapterError
from adapters.selection.regimes import Select

PROTOCOLS = {
    "few-shot": "fit on K shots of every class, test on every class",
    "base-to-new": "fit on the first half of the classes, test on either half among its own classes (CoOp)",
    "cross-dataset": "fit on the first cache, test on the others, which the same encoder made",
    "incremental": "classes come in tasks; after each, test on all classes seen so far",
}


def shots_of(shots: int) -> str:
    """`1 shot`, `4 shots`."""
    return "1 shot" if shots == 1 else f"{shots} shots"


@dataclass(frozen=True)
class Settings:
    """What all cells of a bench have in common.

    Attributes:
        protocol: one of `PROTOCOLS`.
        select: what may choose hyper-parameters and temperatures.
        calibrate: whether a temperature is fitted.
        prompts: name of the prompt set; None for each cache's default.
        tasks: of `incremental`: number of tasks T; else None.
        class_order: of `incremental`: class names in their order of arrival; None: drawn from each cell's seed.
        allow_fewer: use a class with fewer than K images as it is.
        device: where heads compute.
    """

    protocol: str
    select: Select
    calibrate: bool
    prompts: str | None
    tasks: int | None
    class_order: tuple[str, ...] | None
    allow_fewer: bool
    device: str

    def check(self, caches: int) -> None:
        """Refuse options that do not go together.

        Raises:
            AdapterError: names what does not fit.
        """
        if self.protocol not in PROTOCOLS:
            raise AdapterError(f"--protocol {self.protocol} given; expected one of {', '.join(PROTOCOLS)}")
        incremental = self.protocol == "incremental"
        if incremental and (self.tasks is None or self.tasks < 1):
            raise AdapterError(f"--protocol incremental needs a number of tasks, got {self.tasks}: type --tasks 5")
        if not incremental and (self.tasks is not None or self.class_order is not None):
            raise AdapterError(f"tasks belong to --protocol incremental, not to {self.protocol}: leave --tasks out")
        if self.protocol == "cross-dataset" and caches < 2:
            raise AdapterError(
                "--protocol cross-dataset needs the cache to fit on and others to test on: type --cache SOURCE "
                "--cache TARGET"
            )

    def options(self) -> dict[str, Any]:
        """What of it can change a number, as JSON-able values."""
        return {
            "protocol": self.protocol,
            "select": self.select,
            "calibrate": self.calibrate,
            **({"tasks": self.tasks, "class_order": self.class_order} if self.protocol == "incremental" else {}),
        }
