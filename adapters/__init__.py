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
    from adapters.errors import AdapterError, RunError, TaskError
    from adapters.head import Head
    from adapters.head_files import load
    from adapters.heads.clap import CLAP, ZeroShotLinearProbe
    from adapters.heads.clip_adapter.clip_adapter import ClipAdapter
    from adapters.heads.cross_modal.cross_modal import CrossModal
    from adapters.heads.gda import GDA
    from adapters.heads.incremental.cil_attention import CilAttention
    from adapters.heads.incremental.cil_linear import CilLinear
    from adapters.heads.incremental.rapf import Rapf
    from adapters.heads.linear import LinearProbe
    from adapters.heads.lpp import LinearProbePlusPlus
    from adapters.heads.meta_adapter.meta_adapter import MetaAdapter
    from adapters.heads.multi_modal_adapter.multi_modal_adapter import MultiModalAdapter
    from adapters.heads.proker import ProKeR
    from adapters.heads.reg_linear import RegularizedLinearAdapter
    from adapters.heads.taskres import TaskRes
    from adapters.heads.timo import TIMO
    from adapters.heads.tip.ape import APE
    from adapters.heads.tip.tip_adapter import TipAdapter
    from adapters.heads.tip.tip_adapter_f import TipAdapterF
    from adapters.heads.tip.tip_x import TipX
    from adapters.heads.zero_shot import ZeroShot
    from adapters.metrics import accuracy, ece
    from adapters.selection.exact_alpha import AlphaPath, alpha_path
    from adapters.tasks.task import Task
    from adapters.training.stacking import fit_many

_HOMES = {
    "APE": "heads.tip.ape",
    "AdapterError": "errors",
    "AlphaPath": "selection.exact_alpha",
    "CLAP": "heads.clap",
    "CilAttention": "heads.incremental.cil_attention",
    "CilLinear": "heads.incremental.cil_linear",
    "ClipAdapter": "heads.clip_adapter.clip_adapter",
    "CrossModal": "heads.cross_modal.cross_modal",
    "GDA": "heads.gda",
    "Head": "head",
    "LinearProbe": "heads.linear",
    "LinearProbePlusPlus": "heads.lpp",
    "MetaAdapter": "heads.meta_adapter.meta_adapter",
    "MultiModalAdapter": "heads.multi_modal_adapter.multi_modal_adapter",
    "ProKeR": "heads.proker",
    "Rapf": "heads.incremental.rapf",
    "RegularizedLinearAdapter": "heads.reg_linear",
    "RunError": "errors",
    "TIMO": "heads.timo",
    "Task": "tasks.task",
    "TaskError": "errors",
    "TaskRes": "heads.taskres",
    "TipAdapter": "heads.tip.tip_adapter",
    "TipAdapterF": "heads.tip.tip_adapter_f",
    "TipX": "heads.tip.tip_x",
    "ZeroShot": "heads.zero_shot",
    "ZeroShotLinearProbe": "heads.clap",
    "accuracy": "metrics",
    "alpha_path": "selection.exact_alpha",
    "ece": "metrics",
    "fit_many": "training.stacking",
    "load": "head_files",
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
