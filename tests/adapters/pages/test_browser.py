"""Every page in a browser: silent, usable with the mouse and with the keyboard, and readable to everyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.pages.conftest import EVIL, NAMES
from tests.browser import opened

KINDS = ("run", "bench", "search", "audit")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_silent_and_axe_finds_nothing(browser: Any, pages: dict[str, Path], kind: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, pages[kind], scheme=scheme) as page:
        assert page.evaluate("window.pwned") is None
        # axe itself is no part of the page: it comes in by the driver, which no policy holds.
        found = Axe().run(page).response
    problems = {each["id"]: each["nodes"][0]["html"] for each in found["violations"]}
    assert problems == {}
    assert "color-contrast" in {each["id"] for each in found["passes"]}


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_reaches_beyond_the_window(browser: Any, pages: dict[str, Path], kind: str, width: int) -> None:
    with opened(browser, pages[kind], width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_and_tables_have_names(browser: Any, pages: dict[str, Path]) -> None:
    named = {
        "run": ["Scores with 95 % intervals", "Reliability: share of right", "Accuracy against the residual ratio"],
        "bench": ["test accuracy against shots a class", "Points less the best, 1 shot"],
        "search": ["Test accuracy against shots a class", "Points of the chosen", "Selection accuracy of the search"],
        "audit": ["sea: zero-shot recall"],
    }
    tables = {
        "run": ["Scores of the head beside zero-shot", "Recall and precision of every class", "Images by label"],
        "bench": ["shapes-tiny"],
        "search": ["Test accuracy for each number of shots", "The settings that were chosen for each draw"],
        "audit": ["Zero-shot recall and images of every class"],
    }
    for kind in KINDS:
        with opened(browser, pages[kind]) as page:
            for name in named[kind]:
                assert page.get_by_role("img", name=name).count() == 1, name
            for name in tables[kind]:
                assert page.get_by_role("table", name=name).count() == 1, name
            nameless = page.evaluate(
                "[...document.querySelectorAll('[role=img], table, select')].filter(each => !each.ariaLabel"
                " && !each.caption && !each.labels?.length).length"
            )
            assert nameless == 0


def shown_classes(page: Any, within: str) -> list[list[str]]:
    """The classes of the cards that are shown."""
    return page.evaluate(
        f"[...document.querySelectorAll('{within} .card')].filter(each => each.checkVisibility())"
        ".map(each => JSON.parse(each.dataset.classes))"
    )


def certainties(page: Any, within: str) -> list[float]:
    return page.evaluate(f"[...document.querySelectorAll('{within} .card')].map(each => +each.dataset.certainty)")


def test_cards_are_filtered_and_sorted(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["run"]) as page:
        everything = shown_classes(page, "#images")
        status = page.get_by_role("status")
        assert status.inner_text() == f"{len(everything)} of {len(everything)} images"
        page.get_by_role("combobox", name="Class").select_option(label=EVIL)
        few = shown_classes(page, "#images")
        assert 0 < len(few) < len(everything)
        assert all(EVIL in classes for classes in few)
        assert status.inner_text() == f"{len(few)} of {len(everything)} images"
        # By the keyboard: back to all, and the most certain first.
        page.get_by_role("combobox", name="Class").focus()
        page.keyboard.press("Home")
        assert len(shown_classes(page, "#images")) == len(everything)
        found = certainties(page, "#g1")
        page.keyboard.press("Tab")
        page.keyboard.type("least")
        assert certainties(page, "#g1") == sorted(found)
        page.get_by_role("combobox", name="Order").select_option("most")
        assert certainties(page, "#g1") == sorted(found, reverse=True)


def test_the_matrix_shows_the_images_of_a_cell(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["run"]) as page:
        cells = page.locator("[data-cell-button]")
        chosen = page.locator("[data-cell-button][aria-pressed=true]")
        title = page.locator("[data-cell-title]")
        first = title.inner_text()
        assert first == chosen.get_attribute("aria-label")
        assert "taken for" in first
        other = page.locator("[data-cell-button].right").first
        other.click()
        assert title.inner_text() == other.get_attribute("aria-label") != first
        key = other.get_attribute("data-cell-button")
        cards = page.locator("#confusions .card:visible")
        assert {card.get_attribute("data-cell") for card in cards.all()} == {key}
        named = page.locator("[data-others] li").count()
        assert cards.count() + named == int(other.inner_text())
        # By the keyboard: arrows walk, Enter chooses, and there is one stop of the tab key.
        assert [each.get_attribute("tabindex") for each in cells.all()].count("0") == 1
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        walked = page.locator("[data-cell-button][aria-pressed=true]")
        assert walked.get_attribute("data-cell-button").split(":")[0] == key.split(":")[0]
        assert title.inner_text() == walked.get_attribute("aria-label")


def test_tables_are_sorted_by_their_headings(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["run"]) as page:
        table = page.get_by_role("table", name="Recall and precision of every class")

        def recalls() -> list[float]:
            return [float(each.split()[0]) for each in table.locator("tbody td:nth-child(3)").all_inner_texts()]

        assert recalls() == sorted(recalls())
        heading = table.get_by_role("button", name="recall", exact=True)
        heading.click()
        assert recalls() == sorted(recalls(), reverse=True)
        assert heading.locator("..").get_attribute("aria-sort") == "descending"
        heading.press("Enter")
        assert recalls() == sorted(recalls())
        table.get_by_role("button", name="class").press("Space")
        assert table.locator("tbody th").all_inner_texts() == sorted(NAMES)


def test_the_pointer_names_a_cell(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["bench"]) as page:
        tip = page.locator("#tip")
        page.locator("table td[data-tip]").nth(1).hover()
        assert "seeds, select: none" in tip.inner_text()
        page.locator("#curves circle[data-tip]").last.hover()  # the others may lie below it
        assert "tip, 2 shots: " in tip.inner_text()
        page.keyboard.press("Escape")
        assert not tip.is_visible()


def test_names_are_text_and_missing_images_grey_boxes(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["run"]) as page:
        assert page.evaluate("window.pwned") is None
        assert page.locator("#classes th", has_text=EVIL).count() == 1
        assert page.locator("main b, main i, main script:not([type])").count() == 0
        grey = page.locator(".thumb.none").first
        assert grey.get_attribute("aria-label").startswith("no picture of ")
        drawn = page.locator("#images svg.thumb").first.bounding_box()
        assert drawn["width"] == drawn["height"] == 96


def test_a_policy_forbids_what_a_name_might_try(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """Had a name got past the escaping, the page would still not run it, nor ask for anything."""
    broken = tmp_path / "broken.html"
    said = pages["run"].read_text().replace("<main", f"{EVIL}<img src='https://example.com/x.png'><main", 1)
    broken.write_text(said)
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.goto(broken.as_uri())
    assert page.evaluate("window.pwned") is None
    assert not [url for url in asked if url.startswith("http")]
    context.close()


def test_on_paper_there_are_no_tools(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["run"], scheme="dark") as page:
        page.emulate_media(media="print")
        assert not page.locator(".tools").is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
