from __future__ import annotations

import pytest

from featcache.cache.manifest import check_format, library_versions, require_equal
from featcache.errors import CacheError, CacheMismatch
from featcache.records import digest


def test_digest_does_not_depend_on_key_order() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_the_difference_is_named() -> None:
    old = {"encoder": {"precision": "fp32", "dim": 4}, "dtype": "float16"}
    require_equal(old, dict(old), "photos")
    with pytest.raises(CacheMismatch, match=r"photos.*encoder\.precision is fp32 in the cache and bf16 in this run"):
        require_equal(old, {"encoder": {"precision": "bf16", "dim": 4}, "dtype": "float16"}, "photos")
    with pytest.raises(CacheMismatch, match="dtype is float16 in the cache and absent in this run"):
        require_equal(old, {"encoder": old["encoder"]}, "photos")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(CacheError, match="'featcache/9'"):
        check_format({"format": "featcache/9"}, "somewhere")


def test_versions_are_known() -> None:
    assert set(library_versions()) >= {"featcache", "torch", "open_clip_torch"}
