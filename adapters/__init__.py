"""adapters: lightweight heads on cached CLIP features.

    task = adapters.Task.sample(cache, shots=4, seed=1)
    head = adapters.ClipAdapter(alpha=0.2).fit(task.support.images, task.support.labels, text=task.text)
    head.decision_function(X)
    head.save("runs/a"); adapters.load("runs/a")

Names are imported when they are first used, so that `import adapters` itself is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.base import Head
    from adapters.clip_adapter import ClipAdapter
    from adapters.errors import AdapterError, RunError, TaskError
    from adapters.linear import LinearProbe
    from adapters.metrics import accuracy, ece
    from adapters.persistence import load
    from adapters.task import Task
    from adapters.tip_adapter import TipAdapter
    from adapters.tip_adapter_f import TipAdapterF
    from adapters.zero_shot import ZeroShot

_HOMES = {
    "AdapterError": "errors",
    "ClipAdapter": "clip_adapter",
    "Head": "base",
    "LinearProbe": "linear",
    "RunError": "errors",
    "Task": "task",
    "TaskError": "errors",
    "TipAdapter": "tip_adapter",
    "TipAdapterF": "tip_adapter_f",
    "ZeroShot": "zero_shot",
    "accuracy": "metrics",
    "ece": "metrics",
    "load": "persistence",
}

__all__ = [
    "AdapterError",
    "ClipAdapter",
    "Head",
    "LinearProbe",
    "RunError",
    "Task",
    "TaskError",
    "TipAdapter",
    "TipAdapterF",
    "ZeroShot",
    "accuracy",
    "ece",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'adapters' has no attribute {name!r}")
    return getattr(import_module(f"adapters.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
