"""What is read from a method's source is what its class says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adapters.declared import Declared
from adapters.methods import METHODS, describe_methods


@pytest.mark.parametrize("method", METHODS)
def test_source_and_class_agree(method: str) -> None:
    head_class, declared = METHODS[method], Declared(METHODS.homes[method])
    assert declared.name == head_class.__name__
    for variable in ("method", "trains", "needs", "source", "try_when", "chosen_by_default"):
        assert declared[variable] == getattr(head_class, variable)
    for dim, classes, shots in ((512, 10, 16), (768, 1000, 1), (2, 3, 4)):
        expected = head_class().count_parameters(dim=dim, classes=classes, shots=shots)
        assert declared.count(dim=dim, classes=classes, rows=classes * shots) == expected


def test_what_no_class_says_is_an_error() -> None:
    with pytest.raises(KeyError, match="GDA does not declare colour"):
        Declared(METHODS.homes["gda"])["colour"]


def test_methods_are_described_without_importing_one() -> None:
    code = (
        "import sys; from adapters.methods import describe_methods; assert describe_methods()\n"
        "assert not {'torch', 'sklearn', 'scipy', 'faiss', 'numpy'} & set(sys.modules)\n"
        "assert 'adapters.head' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert len(describe_methods()) == len(METHODS)
