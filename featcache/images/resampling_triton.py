"""`resampling.resample` for CUDA: one launch a pass for all pictures of a batch, whatever their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl

from featcache.encoders.pixels import Resizing
from featcache.images.coefficients import BITS
from featcache.images.resampling import Axis, axes

BLOCK = 1024
"""Outputs of a program: four each of 256 threads."""

HALF, SHIFT, FIELDS = tl.constexpr(1 << (BITS - 1)), tl.constexpr(BITS), tl.constexpr(8)


@triton.jit  # type: ignore[untyped-decorator]
def _pass(source, target, table, numbers, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """One pass over one block of outputs of one picture; the fields of its row of `table` are those of `_Pass`."""
    table += tl.program_id(1) * FIELDS
    rows, columns = tl.load(table).to(tl.int32), tl.load(table + 1).to(tl.int32)
    start = tl.program_id(0) * BLOCK
    if start < rows * columns * 3:
        source += tl.load(table + 2)
        target += tl.load(table + 3)
        line_length = 3 * tl.load(table + 4).to(tl.int32)
        by_row = tl.load(table + 5) == 1
        first = numbers + tl.load(table + 6)
        taps = tl.load(table + 7).to(tl.int32)
        outputs = tl.where(by_row, rows, columns)
        along, across = tl.where(by_row, line_length, 3), tl.where(by_row, 3, line_length)
        index = start + tl.arange(0, BLOCK)
        inside = index < rows * columns * 3
        place = index // 3
        row, column = place // columns, place % columns
        output, line = tl.where(by_row, row, column), tl.where(by_row, column, row)
        at = tl.load(first + output, mask=inside, other=0) * along + line * across + index % 3
        weight = first + outputs + output
        total = tl.full([BLOCK], HALF, tl.int32)
        for _ in range(taps):
            total += tl.load(source + at, mask=inside, other=0).to(tl.int32) * tl.load(weight, mask=inside, other=0)
            at += along
            weight += outputs
        value = tl.minimum(tl.maximum(total >> SHIFT, 0), 255)
        tl.store(target + index, value.to(tl.uint8), mask=inside)


class _Pass(NamedTuple):
    """What one pass does to one picture.

    Attributes:
        rows: Of the target.
        columns: Of the target.
        source: Where its first byte is that is needed.
        target: Where the first byte goes.
        width: Of the source, in pixels.
        by_row: Whether the outputs are the target's rows; else its columns.
        numbers: Where the axis is among the numbers.
        taps: Inputs of an output.
    """

    rows: int
    columns: int
    source: int
    target: int
    width: int
    by_row: bool
    numbers: int
    taps: int


_SOURCE, _TARGET = (_Pass._fields.index(name) for name in ("source", "target"))


class _Size(NamedTuple):
    """What is the same for all pictures of one size; places are counted from the picture's own.

    Attributes:
        first: The first pass.
        second: The second.
        pixels: Bytes of the picture.
        lines: Bytes of what lies between the passes.
    """

    first: _Pass
    second: _Pass
    pixels: int
    lines: int


class _Sizes:
    """The sizes of a batch, and the numbers of their axes: the first inputs (O,), then the weights (T, O)."""

    def __init__(self, resizing: Resizing) -> None:
        self.numbers: list[np.ndarray] = []
        self._resizing = resizing
        self._length = 0

    def add(self, rows: int, columns: int) -> _Size:
        """Plan both passes over a picture."""
        vertical, horizontal, vertically_first = axes(rows, columns, self._resizing)
        v, h = self._place(vertical), self._place(horizontal)
        corner = 3 * (vertical.needed.start * columns + horizontal.needed.start)
        height, width = self._resizing.size
        if vertically_first:
            kept = len(horizontal.needed)
            first = _Pass(height, kept, corner, 0, columns, True, v, vertical.taps)
            second = _Pass(height, width, 0, 0, kept, False, h, horizontal.taps)
        else:
            kept = len(vertical.needed)
            first = _Pass(kept, width, corner, 0, columns, False, h, horizontal.taps)
            second = _Pass(height, width, 0, 0, width, True, v, vertical.taps)
        return _Size(first, second, 3 * rows * columns, 3 * first.rows * first.columns)

    def _place(self, axis: Axis) -> int:
        """Where an axis begins among the numbers."""
        place = self._length
        self.numbers += [axis.first - axis.needed.start, np.ravel(axis.weights.T)]
        self._length += axis.first.size + axis.weights.size
        return place


def resample(pixels: torch.Tensor, sizes: Sequence[tuple[int, int]], resizing: Resizing) -> torch.Tensor:
    """See `resampling.resample`."""
    places = {size: place for place, size in enumerate(dict.fromkeys(sizes))}
    planned = _Sizes(resizing)
    distinct = [planned.add(*size) for size in places]
    of_picture = np.array([places[size] for size in sizes])
    source = _starts(np.array([size.pixels for size in distinct])[of_picture])
    lines_of = np.array([size.lines for size in distinct])[of_picture]
    between = _starts(lines_of)
    table = np.stack([np.array([size[order] for size in distinct], np.int64)[of_picture] for order in (0, 1)])
    height, width = resizing.size
    squares = 3 * height * width * np.arange(len(sizes))
    table[0, :, _SOURCE] += source
    table[0, :, _TARGET] = table[1, :, _SOURCE] = between
    table[1, :, _TARGET] = squares
    passes, numbers = _sent(table, pixels.device), _sent(np.concatenate(planned.numbers), pixels.device)
    lines, resized = pixels.new_empty(int(lines_of.sum())), pixels.new_empty(len(sizes), height, width, 3)
    _pass[triton.cdiv(int(lines_of.max()), BLOCK), len(sizes)](pixels, lines, passes[0], numbers, BLOCK=BLOCK)
    _pass[triton.cdiv(3 * height * width, BLOCK), len(sizes)](lines, resized, passes[1], numbers, BLOCK=BLOCK)
    return resized


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Where each begins of what lies one behind the other."""
    ends = np.cumsum(lengths)
    return np.asarray(ends - lengths)


def _sent(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """A copy on the device, without waiting for it where memory can be page-locked."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
