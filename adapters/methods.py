"""Every method by its name on the command line."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError
from adapters.selection import default_select

if TYPE_CHECKING:
    from adapters.base import Head

METHODS = {
    "zero-shot": "zero_shot:ZeroShot",
    "linear": "linear:LinearProbe",
    "clip": "clip_adapter:ClipAdapter",
    "tip": "tip_adapter:TipAdapter",
    "tip-f": "tip_adapter_f:TipAdapterF",
    "taskres": "taskres:TaskRes",
    "zs-lp": "clap:ZeroShotLinearProbe",
    "clap": "clap:CLAP",
    "lp++": "lpp:LinearProbePlusPlus",
    "cross-modal": "cross_modal:CrossModal",
    "reg-linear": "reg_linear:RegularizedLinearAdapter",
    "gda": "gda:GDA",
    "proker": "proker:ProKeR",
    "ape": "ape:APE",
    "tip-x": "tip_x:TipX",
    "timo": "timo:TIMO",
    "meta": "meta_adapter:MetaAdapter",
    "mma": "multi_modal_adapter:MultiModalAdapter",
    "cil-linear": "cil_linear:CilLinear",
    "cil-attention": "cil_attention:CilAttention",
    "rapf": "rapf:Rapf",
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
