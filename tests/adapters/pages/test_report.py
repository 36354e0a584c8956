"""What a name means, and what is said where it means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import adapters
import cli
import featcache
from adapters.auditing.audit import audit
from adapters.bench.benchmark import run as bench
from adapters.errors import AdapterError, RunError
from adapters.fitting.fit import fit
from adapters.pages.report import report
from adapters.search.search import run as search
from featcache.errors import CacheError
from tests.conftest import ImageFolder


@pytest.fixture
def photos(root: Path, image_folder: ImageFolder) -> featcache.Cache:
    return featcache.extract(model="tiny", dataset=str(image_folder(classes=3, per_class=20)))


def test_each_kind_by_its_names(photos: featcache.Cache, root: Path, tmp_path: Path) -> None:
    head = fit("tip", cache=photos, shots=2)
    benched = bench("tip", caches=[photos], shots=[1], seeds=[1])
    searched = search("taskres", {"lr": (0.1, 0.2), "epochs": (1,)}, cache=photos, shots=[2], seeds=[1])
    kept = tmp_path / "found.json"
    kept.write_text(json.dumps(audit(photos).to_json()), encoding="utf-8-sig")  # as a shell on Windows redirects
    names = {
        "run": [head.run, Path(head.run).name],
        "bench": [benched.folder, benched.folder.name, benched.folder / "bench.json"],
        "search": [searched.folder, searched.folder.name, searched.folder / "search.json"],
        "audit": [kept],
    }
    for of, whats in names.items():
        for what in whats:
            written = adapters.report(what, out=tmp_path / "report.html")
            assert (written.of, written.missing) == (of, 0)
            page = written.file.read_text(encoding="utf-8")
            assert page.startswith("<!doctype html>")
            assert written.bytes == len(page.encode())
            assert written.pictures == page.count("<symbol ")
    assert adapters.report(kept, out=tmp_path / "report.html").to_json()["of"] == "audit"


def test_without_a_file_it_is_written_here(
    photos: featcache.Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    name = Path(fit("zero-shot", cache=photos, shots=1).run).name
    assert report(name).file == tmp_path / "here" / f"{name}.html"


def test_an_audit_writes_its_own_page(photos: featcache.Cache, tmp_path: Path) -> None:
    found = adapters.audit(photos)
    found.to_html(tmp_path / "found.html")
    assert "What is wrong with photos-tiny" in (tmp_path / "found.html").read_text()
    with pytest.raises(AdapterError, match="there is no folder"):
        found.to_html(tmp_path / "nowhere" / "found.html")


def test_a_run_whose_images_are_gone_is_told_and_one_whose_cache_is_gone_is_a_line(
    photos: featcache.Cache, tmp_path: Path
) -> None:
    head = fit("tip", cache=photos, shots=2)
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    written = report(head.run, out=tmp_path / "report.html")
    assert written.pictures == 0
    assert written.missing > 0
    assert "a grey box stands for each" in written.told
    Path(photos.path).rename(tmp_path / "cache")
    with pytest.raises(CacheError, match="photos-tiny"):
        report(head.run, out=tmp_path / "report.html")


def test_what_is_no_result_is_a_line(root: Path, tmp_path: Path) -> None:
    def said(what: Path | str) -> str:
        with pytest.raises(RunError) as told:
            report(what, out=tmp_path / "report.html")
        assert "\n" not in str(told.value)
        return str(told.value)

    assert "no run nothing" in said("nothing")
    assert "an audit by the file" in said("nothing")
    (tmp_path / "empty").mkdir()
    assert "is a folder with neither" in said(tmp_path / "empty")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text("{}")
    assert "type the same adapters bench command again" in said(tmp_path / "old")
    for content, told in (
        ("{", "it is not JSON"),
        ("[]", "it holds no object"),
        ("{}", "is no result of adapters audit"),
    ):
        (tmp_path / "odd.json").write_text(content)
        assert told in said(tmp_path / "odd.json")
    (tmp_path / "odd.json").write_text('{"mislabelled": 3}')
    assert "is damaged" in said(tmp_path / "odd.json")
    (tmp_path / "odd.json").write_bytes(b"\xff\xfe\x00\xd8")
    assert "is no result of adapters" in said(tmp_path / "odd.json")


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "--html"],
        ["fit", "--shots", "1", "--html"],
        ["bench", "--html"],
        ["search", "taskres", "--html"],
        ["eval", "nothing", "--html"],
        ["report", "nothing", "--out"],
    ],
)
def test_a_folder_that_is_not_there_is_found_before_the_work(root: Path, tmp_path: Path, words: list[str]) -> None:
    for file, told in (("nowhere/report.html", "there is no folder"), ("report.pdf", "that ends in .html")):
        done = CliRunner().invoke(cli.adapters_app(), [*words, str(tmp_path / file)], standalone_mode=False)
        assert isinstance(done.exception, AdapterError)
        assert told in str(done.exception)
        assert words[-1] in str(done.exception)


def test_html_beside_what_a_command_prints(photos: featcache.Cache, tmp_path: Path) -> None:
    def page(*words: str) -> str:
        file = tmp_path / "page.html"
        file.unlink(missing_ok=True)
        done = CliRunner().invoke(cli.adapters_app(), [*words, "--html", str(file), "--json"])
        assert f"{file} is a page to look at" in done.stderr
        assert json.loads(done.stdout)
        return file.read_text()

    assert "zero-shot on photos, 1 shot a class" in page("fit", "zero-shot", "--shots", "1")
    assert "saved head · train split" in page("eval", "zero-shot-1shot-seed1", "--split", "train")
    assert "What is wrong with photos-tiny" in page("audit")
    assert "bench · few-shot" in page("bench", "--methods", "zero-shot", "--shots", "1", "--seeds", "1")
    searched = page("search", "taskres", "--lr", "0.1,0.2", "--epochs", "1", "--shots", "2", "--seeds", "1")
    assert "taskres on photos-tiny" in searched
    assert "data:image/svg+xml;base64," in searched
