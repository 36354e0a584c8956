"""Devices and precisions by name."""

from __future__ import annotations

import pytest
import torch

from featcache.encoders.device import resolve_device, resolve_precision
from featcache.errors import ModelError


def test_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    for device in ("cuda", "cuda:1", "mps"):
        with pytest.raises(ModelError, match=rf"'{device}' was asked for, this machine has cpu: give one of these"):
            resolve_device(device)
    with pytest.raises(ModelError, match=r"no device 'gpu': give auto, cuda, cuda:0, mps or cpu"):
        resolve_device("gpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda")
    with pytest.raises(ModelError, match=r"'cuda:1' was asked for, this machine has cuda, mps, cpu"):
        resolve_device("cuda:1")
    assert resolve_precision("auto", torch.device("cuda")) == "fp16"
    assert resolve_precision("auto", torch.device("cpu")) == "fp32"
    with pytest.raises(ModelError, match="give bf16 or fp32"):
        resolve_precision("fp16", torch.device("cpu"))
    with pytest.raises(ModelError, match="no precision 'half': give auto, fp32, fp16, bf16"):
        resolve_precision("half", torch.device("cpu"))
