"""The page of a saved run: what it tells, how large it is, and what becomes of what is not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from adapters.fitting.fit import fit
from adapters.html.pictures import Pictures
from adapters.methods import load
from adapters.metrics import ece
from adapters.pages.confusions import MOST_CLASSES, _most_confused
from adapters.pages.run import run_page
from adapters.runs.catalogue import read_run
from adapters.show.numbers import percent
from tests.adapters.conftest import FakeCache
from tests.adapters.pages.conftest import NAMES, Squares, cache_of

MOST_BYTES = 5_000_000


class Noise:
    """Images that no codec makes small."""

    def read(self, image_id: str) -> np.ndarray:
        seed = sum(map(ord, image_id))
        return np.random.default_rng(seed).integers(0, 255, (112, 112, 3)).astype(np.uint8)

    def sizes(self, ids: Iterable[str]) -> Iterator[int]:
        return iter([0 for _ in ids])


def words(page: str) -> str:
    """What a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("</head>")[2]).split())


def test_it_tells_what_the_run_is_and_what_chose_it(evil_cache: FakeCache, saved: Path) -> None:
    page, pictures = run_page(saved, cache=evil_cache, pictures=Pictures(Squares()))
    told = words(page)
    assert "tip on shapes, 4 shots a class" in told
    assert "val: the whole validation split" in told
    assert "of the 60 validation rows" in told  # how alpha was chosen
    assert "zero-shot (plain)" in told
    assert "sets" in told  # --coverage 0.9
    for heading in ("Worst mistakes", "Least certain", "Likely mislabelled", "Leaks"):
        assert f"{heading} <span" in page
    assert "twin of" in told
    assert pictures.missing
    assert pictures.told in told.replace("&lt;", "<").replace("&gt;", ">")


def test_reliability_before_and_after_and_a_curve_over_alpha(evil_cache: FakeCache, saved: Path) -> None:
    told, _ = run_page(saved, cache=evil_cache, pictures=Pictures(None, "gone"))
    test = evil_cache["test"]
    head = load(saved)
    before = ece(head.decision_function(test.images), test.labels)
    after = read_run(saved).require_report().ece["test"]
    assert before != pytest.approx(after, abs=1e-3)
    assert (
        f"before calibration: ECE {percent(before)} in these bins; after calibration: ECE {percent(after)} in these"
        in told
    )
    assert "Accuracy against the residual ratio alpha. alpha" in told


def test_what_a_head_lacks_is_left_out(evil_cache: FakeCache, tmp_path: Path) -> None:
    fit("linear", cache=evil_cache, shots=2, seed=1, out=tmp_path / "run")
    page, _ = run_page(tmp_path / "run", cache=evil_cache, split="val", pictures=Pictures(None, "gone"))
    assert 'id="alpha"' not in page
    assert "fit --calibrate fits a temperature" in page
    assert "On the val split" in page


def test_numbers_are_those_of_the_run(evil_cache: FakeCache, saved: Path) -> None:
    from adapters.runs.evaluate import evaluate

    page, _ = run_page(saved, cache=evil_cache, pictures=Pictures(None, "gone"))
    found = evaluate(saved, cache=evil_cache)
    less = read_run(saved).require_report().difference
    assert less
    assert less["accuracy"]
    assert f"<strong>{100 * found.accuracy:.2f} %</strong>" in page
    assert f"<strong>{100 * less['accuracy']:+.2f}</strong>" in page
    most = found.confusions[0]
    pressed = re.search(r'aria-label="([^"]+)" aria-pressed="true"', page)
    assert pressed
    assert pressed[1].startswith(f"{most['images']} images of ")
    cells = [int(n) for n in re.findall(r"<button[^>]*data-cell-button[^>]*>(\d+)</button>", page)]
    assert sum(cells) == found.images
    keys = [(int(i), int(j)) for i, j in re.findall(r'data-cell-button="(\d+):(\d+)"', page)]
    assert keys == sorted(keys)  # rows and columns are in the order of their headings
    headings = re.findall(r'<th scope="col"><span>(.*?)</span>', page)
    assert [unescape(name) for name in headings] == list(NAMES)


def test_a_data_set_that_is_gone_makes_grey_boxes(evil_cache: FakeCache, saved: Path) -> None:
    page, pictures = run_page(saved, cache=evil_cache, pictures=Pictures(None, "no folder /photos"))
    assert not pictures.made
    assert "images could not be read, and a grey box stands for each: no folder /photos" in page
    assert 'class="thumb none large"' in page


def test_a_test_split_without_labels_is_no_hindrance(evil_cache: FakeCache, saved: Path) -> None:
    unlabelled = replace(evil_cache["test"], labels=np.full_like(evil_cache["test"].labels, -1))
    cache = replace(evil_cache, parts={**evil_cache.parts, "test": unlabelled})
    page, _ = run_page(saved, cache=cache, split="val", pictures=Pictures(None, "gone"))
    assert "<dd>none</dd>" in page.partition("Leaks <span")[2]  # the label of a leak that has none


def test_what_would_steer_a_reader_is_escaped_in_ids_too(evil_cache: FakeCache, tmp_path: Path) -> None:
    test = evil_cache["test"]
    turned = replace(test, ids=np.char.add("\u202e", test.ids))
    cache = replace(evil_cache, parts={**evil_cache.parts, "test": turned})
    fit("zero-shot", cache=cache, shots=1, out=tmp_path / "run")
    page, _ = run_page(tmp_path / "run", cache=cache, pictures=Pictures(None, "gone"))
    cells = json.loads(page.partition('id="cells">')[2].partition("</script>")[0])
    beside = [image_id for cell in cells.values() for image_id in cell["ids"]]
    assert beside
    assert all(image_id.startswith("\\u202etest/") for image_id in beside)
    assert "\u202e" not in page


def test_of_many_classes_those_with_images_are_shown() -> None:
    counts = np.zeros((60, 60), np.int64)
    counts[range(30, 60), range(30, 60)] = 5
    counts[41, 40] = 1
    shown = _most_confused(counts)
    assert len(shown) == MOST_CLASSES
    assert {40, 41} <= set(shown) <= set(range(30, 60))


@pytest.mark.long
def test_ten_thousand_test_images_stay_small(tmp_path: Path) -> None:
    names = tuple(f"class number {c}" for c in range(10))
    cache = cache_of(names, {"train": 200, "test": 10_000}, noise=1.5)
    fit("tip", cache=cache, shots=16, seed=1, out=tmp_path / "run")
    page, pictures = run_page(tmp_path / "run", cache=cache, pictures=Pictures(Noise()))
    assert 200 < len(pictures.made) <= 400
    assert len(page.encode()) < MOST_BYTES


@pytest.mark.long
def test_a_thousand_classes_give_a_page_of_those_confused_most(tmp_path: Path) -> None:
    names = tuple(f"class number {c}" for c in range(1000))
    cache = cache_of(names, {"train": 1000, "test": 2000})
    fit("tip", cache=cache, shots=1, seed=1, out=tmp_path / "run")
    page, _ = run_page(tmp_path / "run", cache=cache, pictures=Pictures(Noise()))
    assert len(page.encode()) < MOST_BYTES
    (shown,) = re.findall(r"The (\d+) of 1,000 classes that are confused most", page)
    assert 2 <= int(shown) <= MOST_CLASSES
    assert page.count('<th scope="row">') >= 1000  # all have a row in the table, most of them folded
    assert "Show all 1,000" in page


@pytest.mark.parametrize("split", ["train", "val"])
def test_other_splits(evil_cache: FakeCache, saved: Path, split: str) -> None:
    page, _ = run_page(saved, cache=evil_cache, split=split, pictures=Pictures(None, "gone"))
    assert f"saved head · {split} split" in page
    assert ("one of the shots" in page) == (split == "train")
