"""`adapters predict` as it is typed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cli
from adapters.commands.saved import predict as command
from adapters.predicting.predictor import Predictor


def typed(saved: Any, *words: str, stdin: str | None = None) -> Result:
    asked = ["predict", saved.run, *words, "--device", "cpu", "--root", saved.root]
    return CliRunner().invoke(cli.adapters_app(), asked, input=stdin)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def test_it_is_continued_where_it_was_stopped(saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "found.csv"
    plain = Predictor.predict

    def stopped(self: Predictor, images: Any, **how: Any) -> Any:
        for place, item in enumerate(plain(self, images, **how)):
            if place == 5:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict", stopped)
        done = typed(saved, str(saved.pictures), "--out", str(out))
    assert done.exit_code == 130
    assert "5 images have a row; the same command continues" in done.stderr
    assert len(rows(out)) == 5
    done = typed(saved, str(saved.pictures), "--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert (len(content["items"]), content["found_there"], content["failed"]) == (55, 5, 0)
    assert content["reused"] == {saved.cache.name: 55}
    whole = rows(out)
    assert len({row["file"] for row in whole}) == len(whole) == 60
    again = typed(saved, str(saved.pictures), "--csv", str(out))
    assert f"{out}: 60 images, 60 of them found there" in again.stdout
    assert rows(out) == whole
    direct = typed(saved, str(saved.pictures), "--json")
    assert [item["classes"][0]["name"] for item in json.loads(direct.stdout)["items"]] == [
        row["class_1"] for row in whole
    ]


def test_with_a_file_an_image_that_is_given_twice_is_answered_once(saved: Any, tmp_path: Path) -> None:
    done = typed(saved, *saved.files[:2], saved.files[0], "--out", str(tmp_path / "found.csv"))
    assert done.exit_code == 0, done.output
    assert [row["file"] for row in rows(tmp_path / "found.csv")] == saved.files[:2]


def test_a_list_is_read_and_what_is_not_there_is_told(saved: Any) -> None:
    done = typed(saved, "-", "--json", stdin=f"{saved.files[0]}\nnowhere.png\n")
    assert done.exit_code == 1
    content = json.loads(done.stdout)
    assert [item["error"] for item in content["items"]] == [None, "no such file or folder"]
    assert "1 of 2 images could not be read" in done.stderr


def test_many_images_are_told_of_while_they_are_classified(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "QUICK", 10)
    done = typed(saved, str(saved.pictures))
    assert "Classifying: 60/60, " in done.stderr
    assert "images/s, 0:00 left" in done.stderr
    assert len(done.stdout.splitlines()) < 40
    assert f"embeddings taken from caches: 60 from {saved.cache.name}" in done.stdout
    listed = typed(saved, "-", stdin="\n".join(saved.files))
    assert " left" not in listed.stderr


def test_what_cannot_be_written_is_found_before_the_encoder_is_loaded(
    saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "load", lambda *_, **__: pytest.fail("loaded"))
    for out, told in ((tmp_path / "no" / "a.csv", "there is no folder"), (tmp_path / "a.xls", "expected a file that")):
        assert told in str(typed(saved, saved.files[0], "--out", str(out)).exception)
    assert "no such file or folder: nowhere; give" in str(typed(saved, "nowhere").exception)
