"""Pages of thumbnails: small, escaped, and there whatever becomes of the images."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featcache
from adapters.html.cards import Card, Group, cards_page
from adapters.html.pictures import MOST, SIDE, Pictures, pictures_of
from tests.conftest import ImageFolder


class Noise:
    """A data set of noise, the worst there is for thumbnails; `gone` is not there."""

    def read(self, image_id: str) -> np.ndarray:
        if image_id == "gone":
            raise FileNotFoundError("no such file: gone")
        return np.random.default_rng(len(image_id)).integers(0, 255, (300, 200, 3)).astype(np.uint8)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        return iter([0 for _ in ids])


def test_a_thumbnail_is_small_and_there_once() -> None:
    pictures = Pictures(Noise())
    first, again = pictures.of("a", "river"), pictures.of("a", "sea")
    assert first.key == again.key
    (made,) = pictures.made.values()
    assert (made.width, made.height) == (75, SIDE)
    assert not made.pixelated
    assert made.uri.startswith("data:image/webp;base64,")
    assert not pictures.told


def test_an_image_that_is_gone_is_a_grey_box_with_its_id() -> None:
    pictures = Pictures(Noise())
    page = cards_page("Found", [Group("All", "", [Card(pictures.of("gone"))])], pictures)
    assert '<span class="thumb none large" role="img" aria-label="no picture of gone"' in page
    assert "1 image could not be read, and a grey box stands for each: gone: no such file: gone" in page


def test_of_a_data_set_that_is_gone_all_are_grey_boxes(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(classes=2, per_class=4)
    cache = featcache.extract(model="tiny", dataset=str(folder))
    image = str(cache["test"].ids[0])
    assert pictures_of(cache.manifest).of(image).key == "t0"
    folder.rename(folder.with_name("elsewhere"))
    pictures = pictures_of(cache.manifest)
    assert pictures.of(image).key is None
    assert pictures.told.endswith(f"{folder} is gone: move it back, and make the page again")


def test_a_page_has_no_more_pictures_than_it_may() -> None:
    pictures = Pictures(Noise())
    keys = [pictures.of("x" * number).key for number in range(1, MOST + 3)]
    assert keys[-2:] == [None, None]
    assert pictures.left_out == 2
    assert len(cards_page("Found", [], pictures)) < 3_000_000
    assert pictures.told == "2 more have no picture: a page has room for no more"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_names_and_ids_are_text(name: str) -> None:
    pictures = Pictures(None, name)
    card = Card(
        pictures.of(name, name),
        name,
        [(name, name)],
        [pictures.of(name, name)],
        name,
        [name],
        certainty=0.5,
        cell="1:2",
    )
    page = cards_page(name, [Group(name, name, [card], name)], pictures, facts=[(name, name)], notes=[name])
    assert name not in page
    assert page.count("<script>") == 1  # our own


def test_what_would_steer_a_reader_or_cannot_be_written_is_shown_escaped() -> None:
    pictures = Pictures(None, "gone")
    page = cards_page("Found", [Group("All", "", [Card(pictures.of("a\u202egpj.exe\udcff"))])], pictures)
    assert "a\\u202egpj.exe\\udcff" in page
    assert page.encode()


def test_an_image_of_few_pixels_is_shown_by_its_pixels() -> None:
    content = io.BytesIO()
    Image.new("L", (8, 8), 200).save(content, "PNG")

    class Small(Noise):
        def read(self, image_id: str) -> bytes:  # type: ignore[override]
            return content.getvalue()

    pictures = Pictures(Small())
    assert pictures.of("a").key
    assert 'class="pixelated"' in cards_page("Found", [], pictures)
