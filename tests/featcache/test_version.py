"""The version that is installed, and that of a checkout that is not."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from featcache.version import package_version


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert package_version() == project["version"] == metadata.version("featcache")


def test_a_checkout_that_is_not_installed_has_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert package_version()
