"""The page in a browser: silent, and of use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

EVIL = "<img src=x onerror=window.pwned=1>.png"
DROP = """([name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""


@contextmanager
def opened(browser: Any, port: int, *, expected: str = "nothing") -> Iterator[Any]:
    """The page; it wrote nothing to the console but what is expected, threw nothing and asked for nothing elsewhere."""
    context = browser.new_context()
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if expected not in message.text else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    own = (f"http://127.0.0.1:{port}/", f"blob:http://127.0.0.1:{port}/")
    page.on("request", lambda request: told.append(request.url) if not request.url.startswith(own) else None)
    try:
        page.goto(f"http://127.0.0.1:{port}/")
        yield page
        assert told == []
    finally:
        context.close()


def test_pictures_are_chosen_and_dropped(browser: Any, serving: Any, predictor: Any, pictures: list[Path]) -> None:
    expected = [item.predicted for item in predictor.predict(pictures[:2])]
    with opened(browser, serving().port) as page:
        page.locator("#run", has_text=predictor.name).wait_for()
        page.set_input_files("#files", [str(pictures[0])])
        first = page.locator("#answers > li").nth(0)
        assert first.locator("ol > li").nth(0).inner_text().startswith(f"{expected[0]} ")
        page.evaluate(DROP, ["b.png", list(pictures[1].read_bytes())])
        page.locator("#answers > li").nth(1).wait_for()
        assert first.locator("ol > li").nth(0).inner_text().startswith(f"{expected[1]} ")
        assert page.evaluate("document.querySelector('#answers img').naturalWidth") > 0
        assert page.locator("#secret").is_hidden()


def test_names_of_files_are_text(browser: Any, serving: Any) -> None:
    with opened(browser, serving().port, expected="422") as page:
        page.evaluate(DROP, [EVIL, [1, 2, 3]])
        page.wait_for_selector("#answers .bad")
        assert page.locator("#answers .name").inner_text() == EVIL
        assert "not an image" in page.locator("#answers .bad").inner_text()
        assert page.evaluate("window.pwned") is None


def test_a_token_is_asked_for(browser: Any, serving: Any, predictor: Any, pictures: list[Path]) -> None:
    with opened(browser, serving(token="secret").port, expected="401") as page:
        page.wait_for_selector("#secret", state="visible")
        page.fill("#token", "secret")
        page.press("#token", "Enter")
        page.locator("#run", has_text=predictor.name).wait_for()
        page.set_input_files("#files", [str(pictures[0])])
        page.wait_for_selector("#answers ol")


def test_everyone_can_read_it(browser: Any, serving: Any, pictures: list[Path]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not there")
    with opened(browser, serving().port) as page:
        page.set_input_files("#files", [str(pictures[0])])
        page.wait_for_selector("#answers ol")
        found = axe.Axe().run(page).response
    assert {each["id"]: each["nodes"][0]["html"] for each in found["violations"]} == {}
