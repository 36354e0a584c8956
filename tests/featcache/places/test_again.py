"""The root again, in commands to type next."""

from __future__ import annotations

import shlex

from featcache.places.again import again


def test_the_root_is_named_again_as_a_shell_takes_it() -> None:
    assert again(None) == ""
    assert again("a/b") == " --root a/b"
    assert shlex.split(again("my caches/it's")) == ["--root", "my caches/it's"]
