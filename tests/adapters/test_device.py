"""Where heads compute: the rule of the encoders, as an error of this package."""

from __future__ import annotations

import pytest
import torch

from adapters.device import resolve_device
from adapters.errors import AdapterError


def test_devices() -> None:
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(AdapterError, match="no device 'gpu': give auto"):
        resolve_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AdapterError, match="'cuda' was asked for, this machine has"):
        resolve_device("cuda")
