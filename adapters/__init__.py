"""adapters: lightweight heads on cached CLIP features.

    head = adapters.fit("clip", cache, shots=4)  # as `adapters fit clip --shots 4`
    head.report_.accuracy["test"]
    task = adapters.Task.sample(cache, shots=4, seed=1)
    head = adapters.recommended("clip").fit(task.support.inputs, task.support.labels, text=task.text)
    head.decision_function(X)
    head.save("runs/a"); adapters.load("runs/a")
    adapters.audit(cache).mislabelled  # what is wrong with the data
    adapters.Predictor.load("runs/a").predict(paths)  # new images through a saved head
    adapters.suggest(cache, budget=50).to_csv("labels.csv")  # what to label next
    adapters.report("tip-4shot-seed1", out="report.html")  # a page to look at

Names are imported when they are first used, so that `import adapters` itself is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.adding.add import add
    from adapters.auditing.audit import audit
    from adapters.errors import AdapterError, RunError, TaskError
    from adapters.fitting.in_python import fit
    from adapters.fitting.recommended import recommended
    from adapters.head import Head
    from adapters.heads.auto.auto import Auto
    from adapters.heads.clap import CLAP, ZeroShotLinearProbe
    from adapters.heads.clip_adapter.clip_adapter import ClipAdapter
    from adapters.heads.consistency.consistency import Consistency
    from adapters.heads.cross_modal.cross_modal import CrossModal
    from adapters.heads.gated import Gated
    from adapters.heads.gda import GDA
    from adapters.heads.incremental.cil_attention import CilAttention
    from adapters.heads.incremental.cil_linear import CilLinear
    from adapters.heads.incremental.rapf import Rapf
    from adapters.heads.instruct import Instruct
    from adapters.heads.kernel.gp import GaussianProcess
    from adapters.heads.kernel.proker import ProKeR
    from adapters.heads.linear import LinearProbe
    from adapters.heads.lpp import LinearProbePlusPlus
    from adapters.heads.meta_adapter.meta_adapter import MetaAdapter
    from adapters.heads.mixture import Mixture
    from adapters.heads.multi_modal_adapter.multi_modal_adapter import MultiModalAdapter
    from adapters.heads.prolip.prolip import ProLIP
    from adapters.heads.prolip.reg_linear import RegularizedLinearAdapter
    from adapters.heads.semobridge.semobridge import SeMoBridge
    from adapters.heads.semobridge.semobridge_t import SeMoBridgeT
    from adapters.heads.ss_text.ss_text import SSText
    from adapters.heads.ss_text.ss_text_u import SSTextU
    from adapters.heads.taskres import TaskRes
    from adapters.heads.timo import TIMO
    from adapters.heads.tip.ape import APE
    from adapters.heads.tip.tip_adapter import TipAdapter
    from adapters.heads.tip.tip_adapter_f import TipAdapterF
    from adapters.heads.tip.tip_x import TipX
    from adapters.heads.zero_shot import ZeroShot
    from adapters.joining.joined_cache import join
    from adapters.methods import load
    from adapters.metrics import accuracy, ece
    from adapters.pages.report import report
    from adapters.predicting.predictor import Predictor
    from adapters.selection.exact_alpha import AlphaPath, alpha_path
    from adapters.suggesting.suggest import suggest
    from adapters.tasks.task import Task
    from adapters.training.stacking import fit_many

_OTHERS = {
    "AdapterError": "adapters.errors",
    "AlphaPath": "adapters.selection.exact_alpha",
    "Head": "adapters.head",
    "Predictor": "adapters.predicting.predictor",
    "RunError": "adapters.errors",
    "Task": "adapters.tasks.task",
    "TaskError": "adapters.errors",
    "accuracy": "adapters.metrics",
    "add": "adapters.adding.add",
    "alpha_path": "adapters.selection.exact_alpha",
    "audit": "adapters.auditing.audit",
    "ece": "adapters.metrics",
    "fit": "adapters.fitting.in_python",
    "fit_many": "adapters.training.stacking",
    "join": "adapters.joining.joined_cache",
    "load": "adapters.methods",
    "recommended": "adapters.fitting.recommended",
    "suggest": "adapters.suggesting.suggest",
    "report": "adapters.pages.report",
}
"""Where public names are, but for the methods' classes, which the list of methods tells."""

__all__ = [
    "APE",
    "CLAP",
    "GDA",
    "TIMO",
    "AdapterError",
    "AlphaPath",
    "Auto",
    "CilAttention",
    "CilLinear",
    "ClipAdapter",
    "Consistency",
    "CrossModal",
    "Gated",
    "GaussianProcess",
    "Head",
    "Instruct",
    "LinearProbe",
    "LinearProbePlusPlus",
    "MetaAdapter",
    "Mixture",
    "MultiModalAdapter",
    "Predictor",
    "ProKeR",
    "ProLIP",
    "Rapf",
    "RegularizedLinearAdapter",
    "RunError",
    "SSText",
    "SSTextU",
    "SeMoBridge",
    "SeMoBridgeT",
    "Task",
    "TaskError",
    "TaskRes",
    "TipAdapter",
    "TipAdapterF",
    "TipX",
    "ZeroShot",
    "ZeroShotLinearProbe",
    "accuracy",
    "add",
    "alpha_path",
    "audit",
    "ece",
    "fit",
    "fit_many",
    "join",
    "load",
    "recommended",
    "report",
    "suggest",
]


def __getattr__(name: str) -> Any:
    homes = _homes()
    if name not in homes:
        raise AttributeError(f"module 'adapters' has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)


def __dir__() -> list[str]:
    return sorted([*_homes(), *(name for name in globals() if name.startswith("__"))])


def _homes() -> dict[str, str]:
    from adapters.methods import METHODS

    classes = (home.split(":") for home in METHODS.homes.values())
    return {**_OTHERS, **{name: module for module, name in classes}}
