"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import draw_class_folders

ImageFolder = Callable[..., Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run what takes minutes")
    parser.addoption("--fault-seed", type=int, help="seed of random faults; each long run draws its own")
    parser.addoption("--soak", type=float, default=30.0, help="minutes of the soak of a long run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if "long" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes: give --long"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    from tests.browser import chromium

    playwright, started = chromium()
    yield started
    started.close()
    playwright.stop()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty root of its own, also for code that asks the environment."""
    monkeypatch.setenv("FEATCACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def image_folder(tmp_path: Path) -> ImageFolder:
    """Makes a folder of class folders with noise images, each class tinted in its own colour."""

    def make(name: str = "photos", *, classes: int = 3, per_class: int = 20, seed: int = 0) -> Path:
        return draw_class_folders(tmp_path / name, classes=classes, per_class=per_class, seed=seed)

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real EuroSAT and the reference outputs, where there is one."""
    location = os.environ.get("FEATCACHE_SHARED")
    if not location or not Path(location).is_dir():
        pytest.skip("FEATCACHE_SHARED does not name a folder with the real EuroSAT")
    return Path(location)
