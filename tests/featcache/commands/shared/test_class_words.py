"""Label, class name and prompt are shown where they differ."""

from __future__ import annotations

import json
from pathlib import Path

from featcache.commands.shared.class_words import MOST, class_words, classes_json
from featcache.show.page import Page
from tests.pages import assert_all_is_told
from tests.pictures import make_class_folders
from tests.processes import run


def manifest(names: list[str], **provenance: list[str]) -> dict[str, object]:
    return {"identity": {"dataset": {"class_names": names}}, "provenance": provenance}


def test_nothing_is_shown_where_all_agree() -> None:
    classes = classes_json(manifest(["cat", "dog"]), ["a photo of a cat.", "a photo of a dog."])
    assert list(class_words(classes)) == []
    assert classes[0] == {"label": "cat", "name": "cat", "prompt": "a photo of a cat."}
    assert list(class_words(classes_json(manifest(["cat", "dog"]), []))) == []  # no prompts yet


def test_what_differs_is_shown() -> None:
    names = ["Annual Crop", "cat"]
    classes = classes_json(manifest(names, labels=["AnnualCrop", "cat"]), ["annual crop land", "a cat"])
    [table] = class_words(classes)
    assert list(table.rows) == [("AnnualCrop", "Annual Crop", "annual crop land")]  # type: ignore[union-attr]
    assert_all_is_told(Page([table]))


def test_many_classes_are_cut_and_counted() -> None:
    names = [f"class {number}" for number in range(MOST + 3)]
    table, more = class_words(classes_json(manifest(names, labels=[f"l{name}" for name in names]), names))
    assert len(table.rows) == MOST  # type: ignore[union-attr]
    assert str(more).startswith("and 3 more classes")


def test_numbers_for_names_are_told() -> None:
    [told] = class_words(classes_json(manifest(["0", "1", "cat"]), ["a 0", "a 1", "a cat"]))
    assert str(told).startswith("2 of 3 class names say nothing to an encoder, such as '0'")


def test_extract_and_info_show_them(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set", {"AnnualCrop": 5, "SeaLake": 5})
    (tmp_path / "set" / "stray.png").write_bytes((tmp_path / "set" / "SeaLake" / "000.png").read_bytes())
    asked = ("--model", "tiny", "--dataset", str(tmp_path / "set"), "--root", str(tmp_path), "--workers", "0")
    shown = run("featcache", "extract", *asked).stdout
    again = run("featcache", "info", "set-tiny", "--root", str(tmp_path)).stdout
    for text in (shown, again):
        assert "AnnualCrop   Annual Crop  a photo of an Annual Crop." in text
        assert "1 image in no class folder" in text
    content = json.loads(run("featcache", "info", "set-tiny", "--root", str(tmp_path), "--json").stdout)
    told = {"label": "SeaLake", "name": "Sea Lake", "prompt": "a photo of a Sea Lake."}
    assert content["classes"][1] == {**told, "rows": {"train": 2, "val": 1, "test": 2}}
    content = json.loads(run("featcache", "extract", *asked, "--json").stdout)
    assert content["left_out"] == {"in no class folder": 1}
    assert content["classes"][0]["label"] == "AnnualCrop"
