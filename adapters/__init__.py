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
    from adapters.ape import APE
    from adapters.base import Head
    from adapters.cil_attention import CilAttention
    from adapters.cil_linear import CilLinear
    from adapters.clap import CLAP, ZeroShotLinearProbe
    from adapters.clip_adapter import ClipAdapter
    from adapters.cross_modal import CrossModal
    from adapters.errors import AdapterError, RunError, TaskError
    from adapters.exact_alpha import AlphaPath, alpha_path
    from adapters.gda import GDA
    from adapters.linear import LinearProbe
    from adapters.lpp import LinearProbePlusPlus
    from adapters.meta_adapter import MetaAdapter
    from adapters.metrics import accuracy, ece
    from adapters.multi_modal_adapter import MultiModalAdapter
    from adapters.persistence import load
    from adapters.proker import ProKeR
    from adapters.rapf import Rapf
    from adapters.reg_linear import RegularizedLinearAdapter
    from adapters.stacking import fit_many
    from adapters.task import Task
    from adapters.taskres import TaskRes
    from adapters.timo import TIMO
    from adapters.tip_adapter import TipAdapter
    from adapters.tip_adapter_f import TipAdapterF
    from adapters.tip_x import TipX
    from adapters.zero_shot import ZeroShot

_HOMES = {
    "APE": "ape",
    "AdapterError": "errors",
    "AlphaPath": "exact_alpha",
    "CLAP": "clap",
    "CilAttention": "cil_attention",
    "CilLinear": "cil_linear",
    "ClipAdapter": "clip_adapter",
    "CrossModal": "cross_modal",
    "GDA": "gda",
    "Head": "base",
    "LinearProbe": "linear",
    "LinearProbePlusPlus": "lpp",
    "MetaAdapter": "meta_adapter",
    "MultiModalAdapter": "multi_modal_adapter",
    "ProKeR": "proker",
    "Rapf": "rapf",
    "RegularizedLinearAdapter": "reg_linear",
    "RunError": "errors",
    "TIMO": "timo",
    "Task": "task",
    "TaskError": "errors",
    "TaskRes": "taskres",
    "TipAdapter": "tip_adapter",
    "TipAdapterF": "tip_adapter_f",
    "TipX": "tip_x",
    "ZeroShot": "zero_shot",
    "ZeroShotLinearProbe": "clap",
    "accuracy": "metrics",
    "alpha_path": "exact_alpha",
    "ece": "metrics",
    "fit_many": "stacking",
    "load": "persistence",
}

__all__ = [
    "APE",
    "CLAP",
    "GDA",
    "TIMO",
    "AdapterError",
    "AlphaPath",
    "CilAttention",
    "CilLinear",
    "ClipAdapter",
    "CrossModal",
    "Head",
    "LinearProbe",
    "LinearProbePlusPlus",
    "MetaAdapter",
    "MultiModalAdapter",
    "ProKeR",
    "Rapf",
    "RegularizedLinearAdapter",
    "RunError",
    "Task",
    "TaskError",
    "TaskRes",
    "TipAdapter",
    "TipAdapterF",
    "TipX",
    "ZeroShot",
    "ZeroShotLinearProbe",
    "accuracy",
    "alpha_path",
    "ece",
    "fit_many",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'adapters' has no attribute {name!r}")
    return getattr(import_module(f"adapters.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
