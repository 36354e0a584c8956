from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featcache.ids import decode_ids, encode_ids, listing_digest

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
