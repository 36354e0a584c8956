"""A split's listing as arrays: ids as padded bytes, and the digest that names ids and labels in order.

A list of strings takes some 80 bytes a row beside the letters, and one that many processes read is copied into each of
them. So ids are kept as they are stored, one array of bytes, and become strings where somebody looks at them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np

CONTENT_BYTES = 16
"""Of the digest that tells an image file from another."""

BLOCK = 65_536
"""Rows that are looked at together, so that what is made of them on the way is small."""


class Ids(Sequence[str]):
    """The ids of a split: a sequence of strings over (N, W) uint8, UTF-8, padded with zero bytes.

    A slice, and `take`, give `Ids`; a row a string.

    Args:
        padded: (N, W) uint8; kept and not copied.
    """

    def __init__(self, padded: np.ndarray) -> None:
        self.padded = padded.view()
        self.padded.flags.writeable = False

    def __setstate__(self, state: dict[str, np.ndarray]) -> None:
        self.padded = state["padded"]
        self.padded.flags.writeable = False  # pickle makes arrays that can be written

    @classmethod
    def of(cls, ids: Sequence[str]) -> Ids:
        """These ids; `Ids` are given back as they are.

        Raises:
            UnicodeEncodeError: One of them cannot be written as UTF-8.
        """
        if isinstance(ids, Ids):
            return ids
        encoded = np.array([name.encode() for name in ids], dtype=np.bytes_)
        width = encoded.dtype.itemsize
        return cls(encoded.view(np.uint8).reshape(len(ids), width) if width else np.zeros((len(ids), 1), np.uint8))

    def __len__(self) -> int:
        return len(self.padded)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Ids: ...
    def __getitem__(self, row: int | slice) -> str | Ids:
        if isinstance(row, slice):
            return Ids(_as_wide_as_needed(self.padded[row]))
        return str(self.padded[row].tobytes().rstrip(b"\0"), "utf-8")

    def __iter__(self) -> Iterator[str]:
        for rows in blocks(len(self)):
            for name in _as_bytes(self.padded[rows]).tolist():
                yield name.decode()

    def __eq__(self, other: object) -> bool:
        """Whether the other is a sequence of the same strings."""
        if isinstance(other, Ids):
            return np.array_equal(_as_bytes(self.padded), _as_bytes(other.padded))
        if isinstance(other, tuple | list):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"<{len(self):,} ids: {shown}{', …' if len(self) > 3 else ''}>"

    def take(self, rows: np.ndarray) -> Ids:
        """The ids of these rows, in the order given."""
        return Ids(_as_wide_as_needed(self.padded[rows]))

    @classmethod
    def joined(cls, parts: Sequence[Ids]) -> Ids:
        """All ids of all parts, in order."""
        width = max(part.padded.shape[1] for part in parts)
        return cls(np.concatenate([np.pad(ids.padded, ((0, 0), (0, width - ids.padded.shape[1]))) for ids in parts]))


def blocks(rows: int, size: int = BLOCK) -> Iterator[slice]:
    """All rows, in slices of at most `size`."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def encode_ids(ids: Sequence[str]) -> np.ndarray:
    """(N,) strings as (N, W) uint8: UTF-8, padded with zero bytes to the longest (at least one column)."""
    return Ids.of(ids).padded


def decode_ids(array: np.ndarray) -> np.ndarray:
    """(N, W) uint8 back to (N,) strings."""
    return np.char.decode(_as_bytes(array), "utf-8")


def repeated_id(splits: Sequence[Ids]) -> str | None:
    """The first id that was there before, in this split or in one before it; None where all are different.

    Ids are told apart by 64 bits that are mixed from their bytes, and only those whose bits agree are looked at: eight
    bytes a row instead of a set of strings.
    """
    mixed = mixed_bytes(splits)
    mixed.sort()
    twice = mixed[1:][mixed[1:] == mixed[:-1]]
    if not len(twice):
        return None
    suspects = np.flatnonzero(np.isin(mixed_bytes(splits), twice))
    ends = np.cumsum([len(ids) for ids in splits])
    seen = set[str]()
    for row in suspects.tolist():
        split = int(np.searchsorted(ends, row, side="right"))
        name = splits[split][row - int(ends[split])]  # counted from the split's end
        if name in seen:
            return name
        seen.add(name)
    return None


def listing_digest(splits: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> str:
    """SHA-256 over split names, ids and labels, in order; what a row number means in a cache."""
    sha = hashlib.sha256()
    for split, (ids, labels) in splits.items():
        sha.update(f"{split}\0{len(ids)}\0".encode())
        padded = encode_ids(ids)
        for rows in blocks(len(padded)):
            # Zero bytes stand between ids, and none behind the last.
            sha.update(_each_ended(padded[rows])[: None if rows.stop < len(padded) else -1])
        for rows in blocks(len(labels)):
            sha.update(np.ascontiguousarray(labels[rows], dtype="<i8").data)
    return sha.hexdigest()


def _as_bytes(padded: np.ndarray) -> np.ndarray:
    """(N, W) uint8 as (N,) byte strings, which NumPy compares and counts without their padding."""
    contiguous = np.ascontiguousarray(padded)
    return contiguous.view(f"S{contiguous.shape[1]}").reshape(-1)


def _as_wide_as_needed(padded: np.ndarray) -> np.ndarray:
    """The same rows without the columns that only the ids that were left out had letters in."""
    used = np.flatnonzero(padded.any(axis=0))
    return np.ascontiguousarray(padded[:, : int(used[-1]) + 1 if len(used) else 1])


def _each_ended(padded: np.ndarray) -> memoryview:
    """The ids one after another, a zero byte behind each."""
    ended = np.pad(padded, ((0, 0), (0, 1)))
    lengths = np.char.str_len(_as_bytes(padded))
    return ended[np.arange(ended.shape[1]) <= lengths[:, None]].data


def mixed_bytes(splits: Sequence[Ids]) -> np.ndarray:
    """(N,) uint64: the bytes of each id mixed, eight at a time; words of nothing but padding change nothing."""
    mixed, done = np.empty(sum(map(len, splits)), np.uint64), 0
    for ids in splits:
        for rows in blocks(len(ids)):
            block = ids.padded[rows]
            words = np.pad(block, ((0, 0), (0, -block.shape[1] % 8))).view("<u8")
            state = np.full(len(block), 0xCBF29CE484222325, np.uint64)
            for word in words.T:
                after = (state ^ word) * np.uint64(0x9E3779B97F4A7C15)
                state = np.where(word, after ^ (after >> np.uint64(29)), state)
            mixed[done : done + len(block)] = state
            done += len(block)
    return mixed
