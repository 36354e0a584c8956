"""Where and at which precision an encoder runs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from featcache.errors import ModelError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def resolve_device(device: str = "auto") -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU; else the named torch device, if it is there.

    Raises:
        ModelError: No such device here.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ModelError(f"no device '{device}': give auto, cuda, cuda:0, mps or cpu") from None
    there = {"cpu": True, "cuda": cuda and (wanted.index or 0) < torch.cuda.device_count(), "mps": mps}
    if not there.get(wanted.type, False):
        found = ", ".join(name for name, present in {"cuda": cuda, "mps": mps, "cpu": True}.items() if present)
        raise ModelError(f"device '{device}' was asked for, this machine has {found}: give one of these, or auto")
    return wanted


def current(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the current one inside, as events, kernels and page locking want it; elsewhere nothing."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` is fp16 on CUDA and fp32 elsewhere.

    Raises:
        ModelError: Unknown, or fp16 on a CPU.
    """
    if precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if precision not in DTYPES:
        raise ModelError(f"no precision '{precision}': give auto, {', '.join(DTYPES)}")
    if precision == "fp16" and device.type == "cpu":
        raise ModelError("fp16 was asked for on the CPU, which computes it slowly and badly: give bf16 or fp32")
    return precision
