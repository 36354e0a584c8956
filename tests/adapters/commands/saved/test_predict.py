from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from adapters.commands.saved.predict import SHOWN, Found, predictions_page
from adapters.predicting.predictor import Prediction, RankedClass
from tests.pages import assert_all_is_told, texts

RANKED = tuple(RankedClass(name, 0.2) for name in ("Highway or Road", "Sea or Lake", "Forest", "River", "x" * 40))
BAD = Prediction("/data/" + "e" * 70 + ".jpg", error="the file is empty")


def answer(file: str, ranked: tuple[RankedClass, ...] = RANKED, **more: Any) -> Prediction:
    return Prediction(file, ranked[0].name, ranked[0].probability, ranked, **more)


def found(*items: Prediction, note: str = "", keep: bool = False) -> Found:
    predictor: Any = SimpleNamespace(
        name="clip-4shot", run="/runs/clip-4shot", method="clip", model="ViT-B-16", note=note
    )
    all_of_them = Found(predictor, None, 0, None, keep=keep)
    for item in items:
        all_of_them.add(item)
    return all_of_them


def test_all_is_told_at_any_width() -> None:
    items = (answer("/data/" + "long/" * 20 + "image.jpg"), answer("b.jpg", RANKED[:3]), BAD)
    page = predictions_page(found(*items, note="a note " * 20))
    assert_all_is_told(page)
    assert {"clip-4shot · ViT-B-16", "Sea or Lake 20.00 %", f"{BAD.id}: the file is empty"} <= set(texts(page))


def test_no_image_may_be_readable() -> None:
    assert_all_is_told(predictions_page(found(BAD)))


@pytest.mark.parametrize("count", [SHOWN, SHOWN + 1, 5000])
def test_many_images_are_told_in_numbers_and_a_few_rows(count: int) -> None:
    many = [answer(f"{n}.jpg", rejected=n % 10 == 0, cache="photos-tiny" if n % 2 else None) for n in range(count)]
    page = predictions_page(found(*many, *[BAD] * count))
    lines = list(page.lines())
    assert len(lines) < 2 * SHOWN + 20
    said = "\n".join(lines)
    assert f"{2 * count:,}" in said
    assert f"embeddings taken from caches: {count // 2:,} from photos-tiny" in said
    refused = -(-count // 10)
    assert any(line.split() == ["none", "of", "these", f"{refused:,}"] for line in lines)
    counted = [line for line in lines if line.startswith("Highway or Road ") and "100" not in line[:20]]
    assert bool(counted) == (2 * count > SHOWN)
    if counted:
        assert counted[0].split()[3] == f"{count - refused:,}"
    assert f"and {count - SHOWN:,} more that cannot be read" in said or count == SHOWN


def test_json_has_every_item() -> None:
    content = found(answer("a.jpg", set=("River",), rejected=False), BAD, keep=True).to_json()
    assert content["failed"] == 1
    assert [item["file"] for item in content["items"]] == ["a.jpg", BAD.id]
    assert content["items"][0]["classes"][0] == {"name": "Highway or Road", "probability": 0.2}
    assert content["items"][0].keys() == {"file", "classes", "set", "rejected", "error"}
