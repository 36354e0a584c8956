"""From images without a label to a file that is filled in and fitted on."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import adapters
import featcache
from adapters.commands.suggest import suggest as command
from adapters.commands.suggest import suggestions_page
from adapters.errors import AdapterError, RunError, TaskError
from adapters.fitting.fit import fit
from adapters.suggesting.suggest import TO_MEASURE, suggest
from featcache.cache.reading import Cache
from tests.pages import assert_all_is_told, drawn
from tests.pictures import draw_class_folders

CLASSES = ("class 0", "class 1", "class 2")


@pytest.fixture
def flat(root: Path, tmp_path: Path) -> Cache:
    """A folder of images of three kinds, whose names tell the kind and whose classes are given by name alone."""
    draw_class_folders(tmp_path / "made", classes=3, per_class=20)
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted((tmp_path / "made").glob("*/*.png")):
        path.rename(photos / f"{path.parent.name}-{path.name}")
    return featcache.extract("tiny", str(photos), class_names=",".join(CLASSES), progress=False)


def truth(image_id: str) -> str:
    return image_id.split("-")[0].replace("_", " ")


def filled_in(path: Path, most: int | None = None) -> list[dict[str, str]]:
    """Labels as somebody would put them in, from the first line on."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:most]:
        row["label"] = truth(row["id"])
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return rows


def test_suggested_filled_in_and_fitted(flat: Cache, tmp_path: Path) -> None:
    found = adapters.suggest(flat, budget=20)
    assert (found.unlabelled, found.labelled, len(found.items)) == (60, 0, 20)
    of_test = [item for item in found.items if item.split == "test"]
    assert len(of_test) == TO_MEASURE * 20
    assert {item.reason for item in of_test} == {"at random, to measure on"}
    assert "test" in {item.split for item in found.items[:5]}  # spread, for whoever labels a few
    assert {truth(item.id) for item in found.items[:5]} == set(CLASSES)
    assert len({item.id for item in found.items}) == 20
    file = tmp_path / "labels.csv"
    found.to_csv(file)
    assert not flat.relabelled(file)["train"].labelled.any()  # nothing is filled in
    filled_in(file)
    mended = flat.relabelled(file)
    assert mended["train"].labelled.sum() == 14
    report = fit("tip", cache=mended, shots="all")
    assert report.rows == {"support": 14, "val": None, "test": 6}
    assert report.accuracy["test"] == 1.0
    assert report.labels is not None
    assert report.shots == "all"


def test_a_second_round_goes_on_from_the_first(flat: Cache, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    suggest(flat, budget=10).to_csv(file)
    filled_in(file, most=8)
    with pytest.raises(AdapterError, match=r"labels\.csv holds 8 labels, which would be lost: .* or --labels"):
        suggest(flat, budget=10).to_csv(file)
    run = Path(fit("tip", cache=flat.relabelled(file), shots="all").run).name
    again = suggest(flat, budget=10, run=run)  # with the labels that the run was fitted with
    assert again.run == run
    assert again.labelled + again.unlabelled == len(flat["train"])
    assert {item.split for item in again.items} == {"train"}  # there is something to measure on
    labelled = set(flat["train"].ids[flat.relabelled(file)["train"].labelled])
    assert not labelled & {item.id for item in again.items}
    assert all(" or class " in item.reason for item in again.items)
    again.to_csv(file)
    rows = filled_in(file)
    assert len({row["id"] for row in rows}) == len(rows)
    assert len(rows) == 10 + len({item.id for item in again.items} - {row["id"] for row in rows[:10]})
    assert flat.relabelled(file)["train"].labelled.sum() > len(labelled)


def test_what_labels_leave_out_is_not_suggested(image_folder: Any, root: Path, tmp_path: Path) -> None:
    cache = featcache.extract("tiny", str(image_folder(classes=2, per_class=6)), progress=False)
    with pytest.raises(TaskError, match="every image of cache photos-tiny has a label: there is nothing to suggest"):
        suggest(cache)
    gone = cache["train"].ids[0]
    (tmp_path / "labels.csv").write_text(f"id,label\n{gone},\n")
    with pytest.raises(TaskError, match="there is nothing to suggest"):
        suggest(cache.relabelled(tmp_path / "labels.csv"))


def test_of_a_labelled_train_split_the_others_are_ranked(root: Path, tmp_path: Path) -> None:
    draw_class_folders(tmp_path / "photos/train", classes=2, per_class=10)
    draw_class_folders(tmp_path / "more", classes=1, per_class=6)
    (tmp_path / "more/class_0").rename(tmp_path / "photos/test")
    found = suggest(featcache.extract("tiny", str(tmp_path / "photos"), progress=False))
    assert [item.split for item in found.items] == ["test"] * 6
    assert "no image of train is without a label" in found.note


def test_without_classes_nothing_is_predicted(root: Path, tmp_path: Path) -> None:
    draw_class_folders(tmp_path, classes=1, per_class=10)
    found = suggest(featcache.extract("tiny", str(tmp_path / "class_0"), progress=False), budget=4)
    assert [item.predicted for item in found.items] == [None] * 4


def test_all_is_told_on_a_page_in_json_and_as_thumbnails(flat: Cache, tmp_path: Path) -> None:
    found = suggest(flat, budget=30)
    page = suggestions_page(found, None, None)
    assert_all_is_told(page)
    told = drawn(page, 200)
    assert "photos-tiny: 30 of 60 images without a label, the first 20" in told
    assert "adapters suggest photos-tiny --csv labels.csv" in told
    assert "adapters fit --shots all --cache photos-tiny --labels l.csv" in drawn(
        suggestions_page(found, Path("l.csv"), None), 200
    )
    with pytest.raises(AdapterError, match=r"--csv .*there is no folder .*: make it"):  # before the work
        command("no such cache", csv=tmp_path / "none" / "a.csv")
    content = json.loads(json.dumps(found.to_json()))
    assert set(content["items"][0]) == {"split", "id", "row", "score", "reason", "predicted"}
    ids = [str(flat[item["split"]].ids[item["row"]]) for item in content["items"]]
    assert ids == [item["id"] for item in content["items"]]
    found.to_html(tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert html.count("data:image/webp") == 30
    assert html.index(found.items[0].id) < html.index(found.items[1].id)


def test_bad_input_is_one_line(flat: Cache, image_folder: Any) -> None:
    with pytest.raises(AdapterError, match="--budget 0 given; expected 1 or more"):
        suggest(flat, budget=0)
    with pytest.raises(AdapterError, match="--budget 5 given; expected 1 or more"):
        suggest(flat, budget="5")  # type: ignore[arg-type]
    other = featcache.extract("tiny", str(image_folder("other", classes=2, per_class=8)), progress=False)
    run = fit("tip", cache=other, shots=2)
    with pytest.raises(RunError, match="was fitted on cache other-tiny, not on photos-tiny"):
        suggest(flat, run=run.run)


def test_a_fit_says_what_to_label(flat: Cache) -> None:
    with pytest.raises(TaskError, match="class 'class 0' has 0 images to draw from"):
        fit("tip", cache=flat, shots=1)
    with pytest.raises(TaskError, match="no image of train in cache photos-tiny has a label: type `adapters suggest"):
        fit("tip", cache=flat, shots="all")
    assert adapters.audit(flat).share_wrong is None  # and an audit looks at what there is
