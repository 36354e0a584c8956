"""What is asked of a bench, checked: protocol, regime, and the options of some protocols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.errors import AdapterError
from adapters.selection.regimes import Regime

OWN = "own"
"""What stands for the regime where each method has its own."""


@dataclass(frozen=True)
class Settings:
    """What all cells of a bench have in common.

    Attributes:
        protocol: name of one (`protocols.PROTOCOLS`).
        regime: what may choose hyper-parameters and temperatures; None: what each method declares.
        calibrate: whether a temperature is fitted.
        prompts: name of the prompt set; None for each cache's default.
        tasks: number of tasks T, where classes arrive in tasks; else None.
        class_order: likewise, class names in their order of arrival; None: drawn from each cell's seed.
        allow_fewer: use a class with fewer than K images as it is.
        device: where heads compute.
    """

    protocol: str
    regime: Regime | None
    calibrate: bool
    prompts: str | None
    tasks: int | None
    class_order: tuple[str, ...] | None
    allow_fewer: bool
    device: str

    def refuse_tasks(self) -> None:
        """Refuse what belongs to protocols whose classes arrive in tasks.

        Raises:
            AdapterError: names the protocol.
        """
        if self.tasks is not None or self.class_order is not None:
            raise AdapterError(f"tasks do not belong to --protocol {self.protocol}: leave --tasks out")

    def options(self) -> dict[str, Any]:
        """What of it can change a number under every protocol, as JSON-able values."""
        return {
            "protocol": self.protocol,
            "select": OWN if self.regime is None else self.regime.name,
            "calibrate": self.calibrate,
        }

    @property
    def select_title(self) -> str:
        """The regime in a heading."""
        return "each method's own" if self.regime is None else self.regime.title
