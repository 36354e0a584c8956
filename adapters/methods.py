"""Every method by its name on the command line."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError
from adapters.selection.regimes import default_select

if TYPE_CHECKING:
    from adapters.head import Head

METHODS = {
    "zero-shot": "heads.zero_shot:ZeroShot",
    "linear": "heads.linear:LinearProbe",
    "clip": "heads.clip_adapter.clip_adapter:ClipAdapter",
    "tip": "heads.tip.tip_adapter:TipAdapter",
    "tip-f": "heads.tip.tip_adapter_f:TipAdapterF",
    "taskres": "heads.taskres:TaskRes",
    "zs-lp": "heads.clap:ZeroShotLinearProbe",
    "clap": "heads.clap:CLAP",
    "lp++": "heads.lpp:LinearProbePlusPlus",
    "cross-modal": "heads.cross_modal.cross_modal:CrossModal",
    "reg-linear": "heads.reg_linear:RegularizedLinearAdapter",
    "gda": "heads.gda:GDA",
    "proker": "heads.proker:ProKeR",
    "ape": "heads.tip.ape:APE",
    "tip-x": "heads.tip.tip_x:TipX",
    "timo": "heads.timo:TIMO",
    "meta": "heads.meta_adapter.meta_adapter:MetaAdapter",
    "mma": "heads.multi_modal_adapter.multi_modal_adapter:MultiModalAdapter",
    "cil-linear": "heads.incremental.cil_linear:CilLinear",
    "cil-attention": "heads.incremental.cil_attention:CilAttention",
    "rapf": "heads.incremental.rapf:Rapf",
}
"""Where each method's class is. Imported when asked for: one method must not wait for the libraries of another."""


def get(name: str) -> type[Head]:
    """The class of a method's name.

    Raises:
        AdapterError: no such method; the message suggests the nearest name and lists all.
    """
    if name in METHODS:
        module, head = METHODS[name].split(":")
        found: type[Head] = getattr(import_module(f"adapters.{module}"), head)
        return found
    near = difflib.get_close_matches(name.lower().replace("_", "-"), METHODS, n=1)
    meant = f" did you mean {near[0]!r}?" if near else ""
    raise AdapterError(f"no method {name!r};{meant} expected one of {', '.join(METHODS)}")


def describe_methods(*, dim: int = 512, classes: int = 10, shots: int = 16) -> list[dict[str, Any]]:
    """What there is, for `adapters list`.

    Args:
        dim: feature width D that `parameters` is counted for.
        classes: number of classes C, likewise.
        shots: rows of a class K, likewise.

    Returns:
        One dict a method: name, class, trains, parameters (numbers trained), needs, source, select (the regime of
        `adapters fit` where none is asked for).
    """
    heads = {name: get(name) for name in METHODS}
    return [
        {
            "name": name,
            "class": head.__name__,
            "trains": head.trains,
            "parameters": head().count_parameters(dim=dim, classes=classes, shots=shots),
            "needs": head.needs,
            "source": head.source,
            "select": default_select(head, ()),
        }
        for name, head in heads.items()
    ]
