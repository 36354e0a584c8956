"""A network as an ONNX file, and running one: the only door to ONNX.

Of what PyTorch notes beside every operation, such as where on this machine its source lies, nothing is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adapters.arrays import Floats
from adapters.errors import AdapterError

if TYPE_CHECKING:
    import torch
    from onnx import ModelProto

OPSET = 18
"""Read by onnxruntime 1.14 and later, and by what else there is."""
MOST_BYTES = 2**31 - 2**24
"""Of one file: its format counts to 2 GiB; room is left for what is no weight."""
BLOCK = 1024
"""Rows that are run at once."""
OUTPUTS = ("logits", "probabilities")
BATCH = "N"
"""What the first dimension is called, which is free."""


def to_onnx(network: torch.nn.Module, example: torch.Tensor, *, takes: str, told: Mapping[str, str]) -> bytes:
    """The file of a network that gives `OUTPUTS`, which takes any number of rows.

    Args:
        network: in evaluation mode, on the CPU.
        example: two rows of its input.
        takes: what the input is called.
        told: metadata.

    Raises:
        AdapterError: the `onnx` extra is not installed, or there are more weights than one file holds.
    """
    _require_libraries()
    import torch

    size = sum(each.numel() * each.element_size() for each in {*network.parameters(), *network.buffers()})
    if size > MOST_BYTES:
        raise AdapterError(
            f"the weights take {size / 1e9:.1f} GB, and one ONNX file holds 2: leave out --with-encoder, and encode "
            "images by the encoder's own ONNX file"
        )
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    with torch.no_grad(), _silence():
        traced = torch.export.export(network.eval(), (example,), dynamic_shapes=shapes, strict=False)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            input_names=[takes],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    content: bytes = _plain(program.model_proto, told).SerializeToString()
    return content


def run_onnx(content: bytes, rows: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """What a file by `to_onnx` gives for rows (N, …): logits and probabilities, both (N, C)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings are about the machine
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    takes = session.get_inputs()[0].name
    parts = [session.run(list(OUTPUTS), {takes: rows[at : at + BLOCK]}) for at in range(0, len(rows), BLOCK)]
    logits, probabilities = (np.concatenate(each) for each in zip(*parts, strict=True))
    return logits, probabilities


def _require_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise AdapterError(f"export needs {error.name}: pip install 'featcache[onnx]'") from error


def _plain(model: ModelProto, told: Mapping[str, str]) -> ModelProto:
    """The model with this metadata and without notes of PyTorch's."""
    parts = [model.graph, *model.functions]
    for part in (*parts, *(node for each in parts for node in each.node), *model.graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del model.metadata_props[:]
    for key, value in told.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name = "featcache"
    return model


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's notices about its own steps from standard error."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
