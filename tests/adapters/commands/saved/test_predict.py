from __future__ import annotations

from adapters.commands.saved.predict import predictions_page
from adapters.runs.predict import Prediction, Predictions, RankedClass
from tests.pages import assert_all_is_told, texts

RANKED = tuple(RankedClass(name, 0.2) for name in ("Highway or Road", "Sea or Lake", "Forest", "River", "x" * 40))
ITEMS = (
    Prediction("/data/" + "long/" * 20 + "image.jpg", RANKED),
    Prediction("b.jpg", RANKED[:3]),
    Prediction("/data/" + "e" * 70 + ".jpg", error="the file is empty"),
)


def test_all_is_told_at_any_width() -> None:
    page = predictions_page(Predictions("/runs/clip-4shot", "clip", "ViT-B-16 (openai)", "a note " * 20, ITEMS))
    assert_all_is_told(page)
    assert {"clip-4shot · ViT-B-16 (openai)", "Sea or Lake 20.00 %", f"{ITEMS[2].file}: the file is empty"} <= set(
        texts(page)
    )


def test_no_image_may_be_readable() -> None:
    assert_all_is_told(predictions_page(Predictions("/runs/a", "clip", "tiny", "", ITEMS[2:])))
