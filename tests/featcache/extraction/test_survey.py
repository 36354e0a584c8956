"""Unreadable images are listed all at once, before any is encoded."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from featcache.errors import DataError
from featcache.extraction.extract import ExtractionReport, run_extraction
from featcache.extraction.request import Request
from featcache.extraction.survey import costs_little
from tests.conftest import ImageFolder
from tests.processes import run


def extract(folder: Path, **options: object) -> ExtractionReport:
    defaults = {"model": "tiny", "dataset": str(folder), "workers": 0, "device": "cpu", "check": True}
    return run_extraction(Request(**{**defaults, **options}), progress=False)  # type: ignore[arg-type]


def spoiled(folder: Path, count: int) -> Path:
    for number in range(count):
        (folder / f"class_{number % 3}" / f"{number:03d}.png").write_bytes(b"")
    return folder


def listed(root: Path) -> list[dict[str, str]]:
    with (root / "unreadable/photos-tiny.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_all_are_listed_on_the_screen_and_in_a_file_and_nothing_is_made(root: Path, image_folder: ImageFolder) -> None:
    folder = spoiled(image_folder(), 12)
    words = ["featcache", "extract", "--model", "tiny", "--dataset", str(folder), "--check", "--workers", "0"]
    done = run(*words, status=2)
    *table, more, error = done.stderr.splitlines()
    assert len(table) == 11
    assert more == "and 2 more"
    assert error.startswith("error: 12 of 60 images cannot be read, first class_")
    assert f"{root}/unreadable/photos-tiny.csv lists them" in error
    assert "--on-error skip" in error
    assert {row["id"] for row in listed(root)} == {f"class_{n % 3}/{n:03d}.png" for n in range(12)}
    assert {row["reason"] for row in listed(root)} == {"the file is empty"}
    assert not (root / "caches/photos-tiny/manifest.json").exists()


def test_one_is_named_in_the_line_itself(root: Path, image_folder: ImageFolder) -> None:
    with pytest.raises(DataError, match=r"^cannot read class_0/000\.png \(\w+ row \d+\): the file is empty; .*skip"):
        extract(spoiled(image_folder(), 1))


def test_what_is_skipped_is_known_beforehand(
    root: Path, image_folder: ImageFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request(model="tiny", dataset=str(spoiled(image_folder(), 3)), workers=0, on_error="skip", check=True)
    report = run_extraction(request, progress=True)
    assert (report.skipped, report.checked, len(listed(root))) == (3, 60, 3)
    told = capsys.readouterr().err
    assert told.index("3 of 60 images cannot be read, and their rows stay empty") < told.index("Encoding")


def test_a_run_that_continues_looks_at_what_is_left(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    monkeypatch.setattr("featcache.cache.plan.SECONDS_PER_SHARD", 1e-9)  # one batch a shard
    target = folder / "class_2/019.png"
    content = target.read_bytes()
    target.write_bytes(content[:20])
    with pytest.raises(DataError, match="class_2/019"):
        extract(folder, check=False, batch_size=4)
    target.write_bytes(content)
    report = extract(folder, batch_size=4)
    assert report.checked == report.encoded == 60 - report.resumed
    assert report.resumed > 0


def test_it_is_left_out_where_it_costs_more_than_little(root: Path, image_folder: ImageFolder) -> None:
    dataset = Request(model="tiny", dataset=str(image_folder())).load_dataset()
    parts = [(split, range(len(part))) for split, part in dataset.splits.items()]
    assert costs_little(dataset, parts, rate=10.0, starting=0.0, workers=0)
    assert not costs_little(dataset, parts, rate=1e7, starting=0.0, workers=0)
    assert costs_little(dataset, parts, rate=1e7, starting=60.0, workers=0)
    assert extract(image_folder("others"), check=False).checked is None
