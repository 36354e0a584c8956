"""Debian's Chromium, driven by Playwright: what a page does when it is opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "FEATCACHE_BROWSER"
"""Set to `required` where a missing browser is to fail the tests and not to skip them."""


def chromium() -> Any:
    """A browser that was started; ends the test, or the fixture, where there is none.

    Close it, and then stop its `playwright`.
    """
    place = shutil.which("chromium") or shutil.which("chromium-browser")
    missing = "" if place else "there is no chromium: type apt-get install chromium"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "there is no playwright: type pip install -e '.[dev]'"
    if missing:
        (pytest.fail if os.environ.get(REQUIRED) == "required" else pytest.skip)(missing)
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
    return playwright, browser


@contextmanager
def opened(browser: Any, file: Path, *, width: int = 1400, scheme: str = "light") -> Iterator[Any]:
    """A page at its file; what it wrote to the console, threw or asked for must have been nothing."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: told.append(f"error: {error}"))
    page.on("dialog", lambda dialog: told.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: told.append(request.url) if not own(request.url, file) else None)
    try:
        page.goto(file.as_uri())
        yield page
        assert told == []
    finally:
        context.close()


def own(url: str, file: Path) -> bool:
    """Whether an address is the page itself or a part of it."""
    return url.startswith("data:") or url.partition("#")[0] == file.as_uri()
