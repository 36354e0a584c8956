"""The tree of errors in the docstring is the tree of classes."""

from __future__ import annotations

import builtins
import re

from featcache import errors


def test_the_tree_that_is_told_is_the_one_that_there_is() -> None:
    assert errors.__doc__ is not None
    told = re.findall(r"^    ([│ ├└─]*)(\w+)(?:.*\(also (\w+)\))?", errors.__doc__, re.M)
    above: list[str] = []
    for indent, name, also in told:
        depth = len(indent) // 4
        del above[depth:]
        bases = getattr(errors, name).__bases__
        assert [base.__name__ for base in bases] == [*(above[-1:] or ["Exception"]), *([also] if also else [])]
        assert not also or bases[-1] is getattr(builtins, also)
        above.append(name)
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert {name for _, name, _ in told} == classes
