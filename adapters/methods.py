"""Every method by its name on the command line; what there is to say of one stands on its class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.declared import Declared, group_of
from adapters.errors import AdapterError, RunError
from adapters.selection.regimes import LEAST_TO_CHOOSE_ON, default_regime
from featcache.named import Named
from featcache.places.hub import download_head, is_on_hub

if TYPE_CHECKING:
    from adapters.head import Head

BASELINE = "zero-shot"
"""What stands beside every other."""
DEFAULT = "auto"
"""What is fitted where no method is named."""

METHODS: Named[type[Head]] = Named(
    "method",
    {
        "zero-shot": "adapters.heads.zero_shot:ZeroShot",
        "auto": "adapters.heads.auto.auto:Auto",
        "linear": "adapters.heads.linear:LinearProbe",
        "clip": "adapters.heads.clip_adapter.clip_adapter:ClipAdapter",
        "tip": "adapters.heads.tip.tip_adapter:TipAdapter",
        "tip-f": "adapters.heads.tip.tip_adapter_f:TipAdapterF",
        "taskres": "adapters.heads.taskres:TaskRes",
        "zs-lp": "adapters.heads.clap:ZeroShotLinearProbe",
        "clap": "adapters.heads.clap:CLAP",
        "lp++": "adapters.heads.lpp:LinearProbePlusPlus",
        "cross-modal": "adapters.heads.cross_modal.cross_modal:CrossModal",
        "gated": "adapters.heads.gated:Gated",
        "instruct": "adapters.heads.instruct:Instruct",
        "mixture": "adapters.heads.mixture:Mixture",
        "prolip": "adapters.heads.prolip.prolip:ProLIP",
        "reg-linear": "adapters.heads.prolip.reg_linear:RegularizedLinearAdapter",
        "gda": "adapters.heads.gda:GDA",
        "ss-text": "adapters.heads.ss_text.ss_text:SSText",
        "ss-text-u": "adapters.heads.ss_text.ss_text_u:SSTextU",
        "semobridge": "adapters.heads.semobridge.semobridge:SeMoBridge",
        "semobridge-t": "adapters.heads.semobridge.semobridge_t:SeMoBridgeT",
        "consistency": "adapters.heads.consistency.consistency:Consistency",
        "proker": "adapters.heads.kernel.proker:ProKeR",
        "gp": "adapters.heads.kernel.gp:GaussianProcess",
        "ape": "adapters.heads.tip.ape:APE",
        "tip-x": "adapters.heads.tip.tip_x:TipX",
        "timo": "adapters.heads.timo:TIMO",
        "meta": "adapters.heads.meta_adapter.meta_adapter:MetaAdapter",
        "mma": "adapters.heads.multi_modal_adapter.multi_modal_adapter:MultiModalAdapter",
        "cil-linear": "adapters.heads.incremental.cil_linear:CilLinear",
        "cil-attention": "adapters.heads.incremental.cil_attention:CilAttention",
        "rapf": "adapters.heads.incremental.rapf:Rapf",
    },
    AdapterError,
)
"""The list: a method's name, and where its class is."""


def load(folder: str | Path, *, device: str | None = None) -> Head:
    """A saved head, with what was saved beside it in `.config`.

    Args:
        folder: what `Head.save` wrote; or `hf://owner/name`, a head on the Hugging Face hub.
        device: where to run, in place of the device that it was fitted with.

    Raises:
        RunError: nothing there, damaged, or from another format version.
        DataError: it cannot be had from the hub.
    """
    from adapters.head_files import CONFIG, WEIGHTS, read_config  # NumPy, which a list of methods does not need

    if is_on_hub(folder):
        folder = download_head(str(folder), (CONFIG, WEIGHTS))
    method = read_config(folder)["method"]
    if method not in METHODS:
        raise RunError(f"{folder} holds a head of method {method!r}; this featcache has {', '.join(METHODS)}")
    return METHODS[method].from_files(folder, device=device)


def zero_shot(text: Any) -> Head:
    """The fitted baseline for the classes of a text with a `logit_scale`."""
    weights = text.weights()
    before = getattr(text, "image_projection", None)
    if before is None:
        return METHODS[BASELINE](logit_scale=float(text.logit_scale)).fit(weights, range(len(weights)), text=text)
    head = METHODS["prolip"](lr=0.0, steps=1, logit_scale=float(text.logit_scale))  # untrained, it is zero-shot
    return head.fit([[1.0] * len(before)] * len(weights), range(len(weights)), text=text)


def describe_methods(*, dim: int = 512, classes: int = 10, shots: int = 16) -> list[dict[str, Any]]:
    """What there is, for `adapters list`; imports no method.

    Args:
        dim: feature width D that `parameters` is counted for.
        classes: number of classes C, likewise.
        shots: rows of a class K, likewise.

    Returns:
        One dict a method: name, class, trains, parameters (numbers trained), needs, group (by what it needs, of
        `adapters.declared.NEEDS`), source, select (the regime of `adapters fit` where none is asked for), try_when.
    """
    declared = {name: Declared(home) for name, home in METHODS.homes.items()}
    return [
        {
            "name": name,
            "class": head.name,
            "trains": head["trains"],
            "parameters": head.count(dim=dim, classes=classes, rows=classes * shots),
            "needs": head["needs"],
            "group": group_of(head["needs"]),
            "source": head["source"],
            "select": default_regime(head["chosen_by_default"], shots=LEAST_TO_CHOOSE_ON).name,
            "try_when": head["try_when"],
        }
        for name, head in declared.items()
    ]
