"""Inputs of every head: from array-likes to checked float32 NumPy arrays and unit rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.errors import AdapterError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]


class Block(NamedTuple):
    """One encoder's part of a feature.

    Attributes:
        width: its numbers, D_m.
        scale: the encoder's logit scale over that of the whole; 0 for an encoder without text.
    """

    width: int
    scale: float


def to_numpy(values: Any) -> NDArray[Any]:
    """A NumPy array of any array-like, including a torch tensor on any device (bfloat16 becomes float32)."""
    if hasattr(values, "detach"):  # a torch tensor; asked this way so that torch need not be imported to know
        tensor = values.detach().cpu()
        return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)
    try:
        return np.asarray(values)
    except ValueError as error:  # ragged nested lists
        raise AdapterError(
            f"expected a rectangular array of numbers; got nested lists of unequal length ({error})"
        ) from error


def to_float32(values: Any, name: str, dims: tuple[int, ...]) -> Floats:
    """A finite float32 array with one of the numbers of dimensions in `dims`.

    Args:
        values: array-like or torch tensor.
        name: what the array is, for messages, such as "X".
        dims: allowed numbers of dimensions.

    Raises:
        AdapterError: not numbers, another number of dimensions, no rows or columns, NaN or infinity.
    """
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise AdapterError(f"{name} is a sparse matrix; features are dense: pass {name}.toarray()")
    array = to_numpy(values)
    if array.dtype.kind == "c":
        raise AdapterError(f"Complex data not supported: {name} has dtype {array.dtype}; pass real features")
    if array.dtype.kind not in "biufO":
        raise AdapterError(f"{name} has dtype {array.dtype}; expected real numbers")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is found as infinity below
            array = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise AdapterError(f"{name} holds something that is not a number ({error})") from error
    if array.ndim not in dims:
        expected = " or ".join({2: "(N, D)", 3: "(N, V, D)"}[d] for d in dims)
        raise AdapterError(f"{name} has shape {array.shape}; expected {expected}. Reshape your data")
    if array.size == 0:
        what = "sample(s)" if not len(array) else "feature(s)"
        raise AdapterError(f"{name} is empty: 0 {what} (shape={array.shape}) while a minimum of 1 is required.")
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise AdapterError(f"{name} contains NaN or infinity, first in row {row}; leave out invalid rows first")
    return array


def unit(rows: Floats) -> Floats:
    """Rows divided by their Euclidean norm, over the last axis; a zero row stays zero.

    The norm is summed in double precision, so that the result does not depend on the scale of the rows.
    """
    norms = np.sqrt(np.einsum("...d,...d->...", rows, rows, dtype=np.float64))
    return (rows / np.where(norms > 0, norms, 1.0)[..., None]).astype(np.float32)


def text_weights(text: Any) -> Floats:
    """Unit class rows (C, D) of `text`: an array (C, D), or an object with `.weights()` such as a cache's text."""
    weights = text.weights() if hasattr(text, "weights") else text
    return unit(to_float32(weights, "text", (2,)))


def text_prompts(text: Any) -> Floats | None:
    """Raw embeddings (C, T, D) of every prompt, NaN where a class has fewer than T; None where `text` has none."""
    return np.asarray(text.features, dtype=np.float32) if hasattr(text, "features") else None


def text_blocks(text: Any) -> tuple[Block, ...]:
    """The encoders that `text` is of, in the order of their blocks; empty where it does not say: one."""
    return tuple(getattr(text, "blocks", ()))


def encode_labels(y: Any, rows: int, classes: int | None) -> tuple[Ints, NDArray[Any]]:
    """Labels as class codes, and the class of every code.

    Args:
        y: (N,) labels. With text they are integers that index its rows.
        rows: N.
        classes: number of text rows C, or None when there is no text: then the classes are the distinct labels.

    Returns:
        Codes (N,) in 0..C-1, and `classes_` (C,).
    """
    if y is None:
        raise AdapterError("requires y to be passed, but the target y is None: pass labels (N,)")
    labels = to_numpy(y)
    if labels.ndim != 1 or len(labels) != rows:
        raise AdapterError(f"y has shape {labels.shape}; expected ({rows},), one label for each row of X")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise AdapterError("y contains NaN or infinity; expected integer class labels")
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        raise AdapterError("Unknown label type: y holds fractions; expected integer class labels")
    if classes is None:
        names, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int64), names
    if labels.dtype.kind not in "iuf":
        raise AdapterError(f"y has dtype {labels.dtype}; expected integers that index the {classes} rows of text")
    codes = labels.astype(np.int64)
    if codes.min() < 0 or codes.max() >= classes:
        raise AdapterError(
            f"y spans {codes.min()}..{codes.max()}; text has {classes} rows, so expected 0..{classes - 1}"
        )
    return codes, np.arange(classes)
