from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featcache import ids as ids_module
from featcache.ids import Ids, decode_ids, encode_ids, listing_digest, repeated_id

# Paths hold no zero byte, which pads the array.
names = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30), min_size=1)


@given(ids=names)
def test_ids_survive_the_array(ids: list[str]) -> None:
    assert list(decode_ids(encode_ids(ids))) == ids


def test_digest_tells_order_labels_and_splits_apart() -> None:
    labels = np.array([0, 1])
    listings = [
        {"train": (["a", "b"], labels)},
        {"train": (["b", "a"], labels)},
        {"train": (["a", "b"], labels[::-1])},
        {"test": (["a", "b"], labels)},
        {"train": (["a"], labels[:1]), "test": (["b"], labels[1:])},
    ]
    assert len({listing_digest(listing) for listing in listings}) == len(listings)


@given(names=names, other=names)
def test_they_are_a_sequence_of_strings(names: list[str], other: list[str]) -> None:
    ids = Ids.of(names)
    assert (list(ids), len(ids), ids[-1]) == (names, len(names), names[-1])
    assert ids == names
    assert ids == tuple(names)
    assert ids == pickle.loads(pickle.dumps(ids))
    assert (ids == Ids.of(other)) == (names == other) == (ids == other)
    half = ids[::2]
    assert half == names[::2]
    assert half.padded.shape == encode_ids(names[::2]).shape
    last = ids.take(np.array([len(names) - 1, 0]))
    assert last == [names[-1], names[0]]
    assert last.padded.shape == encode_ids([names[-1], names[0]]).shape
    assert Ids.of(ids) is ids
    assert encode_ids(ids) is ids.padded


@given(names=names, block=st.integers(1, 4))
def test_the_digest_is_that_of_the_strings_whole(names: list[str], block: int) -> None:
    labels = np.arange(len(names))
    whole = f"train\0{len(names)}\0".encode() + "\0".join(names).encode() + labels.astype("<i8").tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids_module.blocks, "__defaults__", (block,))
        assert listing_digest({"train": (names, labels)}) == hashlib.sha256(whole).hexdigest()


@given(first=names, second=names)
def test_what_is_there_twice_is_found_in_splits_of_any_width(first: list[str], second: list[str]) -> None:
    both, seen = first + second, set[str]()
    expected = next((name for name in both if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]
    assert repeated_id([Ids.of(first), Ids.of(second)]) == expected


def test_ids_whose_mixed_bits_agree_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids_module, "mixed_bytes", lambda splits: np.zeros(sum(map(len, splits)), np.uint64))
    assert repeated_id([Ids.of(["a", "b"]), Ids.of(["c"])]) is None
    assert repeated_id([Ids.of(["a", "b"]), Ids.of(["c", "b"])]) == "b"


def test_ids_cannot_be_written() -> None:
    ids = Ids.of(["a"])
    for each in (ids, pickle.loads(pickle.dumps(ids))):
        with pytest.raises(ValueError, match="read-only"):
            each.padded[0, 0] = 1
