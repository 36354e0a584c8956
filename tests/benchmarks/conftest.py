"""Benchmarks as they are typed, at sizes that take a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

import featcache

Table = list[dict[str, str]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Runs a benchmark with the words that are typed after its name; what it printed."""
    before = torch.get_num_threads()

    def run(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *words])
        import_module(f"benchmarks.{name}").main()
        return capsys.readouterr().out

    yield run
    torch.set_num_threads(before)


@pytest.fixture
def tables(printed: Callable[..., str]) -> Callable[..., list[Table]]:
    """Likewise, but the Markdown tables, each row by the names of its columns (of equal names the last)."""

    def run(name: str, *words: str) -> list[Table]:
        found: list[Table] = []
        names: list[str] = []
        for line in printed(name, *words).splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not line.startswith("|"):
                names = []
            elif not names:
                names = cells
                found.append([])
            elif set(line) - set("|-: "):
                assert len(cells) == len(names), line
                found[-1].append(dict(zip(names, cells, strict=True)))
        return found

    return run


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the cache `digits-tiny`."""
    root = tmp_path_factory.mktemp("digits")
    featcache.extract(model="tiny", dataset="digits", root=root, device="cpu", progress=False)
    return root
