from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from adapters.bench.benchmark import run
from adapters.bench.formats.cells import marks, number
from adapters.bench.plot import draw
from adapters.bench.protocols.learning import BY_TEXT, REFITTED
from adapters.bench.results import Results
from adapters.bench.summary import Block, Entry, Line
from adapters.errors import AdapterError, RunError
from adapters.show.spreading import spread_out

Make = Callable[..., Any]


@pytest.fixture
def results(make_cache: Make, tmp_path: Path) -> Results:
    return run("tip,linear", caches=[make_cache()], shots=[1, 2], seeds=[1, 2, 3], out=tmp_path)


def test_an_entry_says_mean_spread_tie_and_how() -> None:
    entry = Entry(0.7125, 0.013, 3, False, True, (BY_TEXT, REFITTED))
    assert number(entry) == "71.25 ± 1.30"
    assert marks(entry, 3) == " ≈†¶"
    assert number(Entry(0.5, None, 1, True, False, ())) == "50.00"
    assert marks(Entry(0.5, None, 1, True, False, ()), 3) == " (1 of 3 seeds)"
    assert (number(None), marks(None, 3)) == ("–", "")


def test_markdown_has_the_regime_zero_shot_first_and_the_best_in_bold(results: Results) -> None:
    lines = results.text("markdown").splitlines()
    assert lines[0] == "**few-shot · shapes-tiny · tiny (local) · select: each method's own · seeds 1, 2, 3**"
    assert lines[2] == "| method | select | 1 shot | 2 shots | less zero-shot | less best | ECE | s/fit |"
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| zero-shot", "| tip", "| linear"]
    for column in (1, 2):
        best = max(results.blocks[0].lines, key=lambda line: line.entries[column - 1].mean)  # type: ignore[union-attr]
        bold = [line for line in lines[4:7] if "**" in line.split(" | ")[column + 1]]
        assert [line.split(" | ")[0] for line in bold] == [f"| {best.method}"]
    assert "1,000 resamples of test images and of seeds" in results.text("markdown")
    assert "95 % interval" in results.text("markdown")


def test_one_seed_and_oracle_are_shouted(make_cache: Make, tmp_path: Path) -> None:
    results = run("tip", caches=[make_cache()], shots=[2], seeds=[4], select="oracle", out=tmp_path)
    assert "select: ORACLE · ONE SEED (4)" in results.title
    assert any(note.startswith("ORACLE: ") for note in results.notes)
    for text in (results.text("markdown"), results.text("latex"), _printed(results)):
        assert "ORACLE" in text
        assert "ONE SEED" in text
        assert "±" not in text


def test_csv_is_one_line_a_number(results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(results.text("csv"))))
    assert len(rows) == 6
    first = rows[0]
    entry = results.blocks[0].lines[0].entries[0]
    assert entry is not None
    assert (first["select"], first["method"], first["column"]) == ("none", "zero-shot", "1 shot")
    assert (float(first["mean"]), float(first["std"])) == (entry.mean, entry.std)


def test_json_says_all(results: Results) -> None:
    content = json.loads(results.text("json"))
    assert (content["protocol"], content["select"], content["seeds"]) == ("few-shot", "own", [1, 2, 3])
    assert content["cells"] == {"computed": 18, "found": 0, "failed": 0}
    assert len(content["rows"]) == 18
    (table,) = content["tables"]
    assert [line["method"] for line in table["lines"]] == ["zero-shot", "tip", "linear"]
    assert set(table["lines"][0]["entries"][0]) == {
        *("column", "shots", "mean", "std", "seeds", "best", "tied", "how", "less_zero_shot", "less_best")
    }


def test_latex_escapes_and_balances(results: Results) -> None:
    text = results.text("latex")
    assert r"\%" in text
    assert text.count("{") == text.count("}")
    assert text.count(r"\\") == 4
    assert r"\textbf{" in text
    assert "≈" not in text


def test_the_terminal_shows_the_same_numbers(results: Results) -> None:
    printed = _printed(results)
    for line in results.blocks[0].lines:
        assert all(number(entry) in printed for entry in line.entries)


def test_fall_backs_are_marked_and_explained(make_cache: Make, tmp_path: Path) -> None:
    text = run("tip,clip", caches=[make_cache()], shots=[2], seeds=[1, 2], protocol="base-to-new", out=tmp_path).text(
        "markdown"
    )
    assert "† scored by class text, which is zero-shot" in text
    assert "‡ by what was learned on other classes" in text
    assert "harmonic mean of the mean base and the mean new accuracy" in text
    lines = {line.split(" | ")[0]: line.split(" | ") for line in text.splitlines()}
    assert "†" in lines["| tip"][4]
    assert "†" not in lines["| tip"][3]
    assert "†" not in "".join(lines["| zero-shot"])
    text = run(
        "tip", caches=[make_cache()], shots=[2], seeds=[1, 2], protocol="incremental", tasks=2, out=tmp_path
    ).text("markdown")
    assert "| method | select | Last | Average | task 1 | task 2 |" in text
    assert "¶ refitted on all seen classes (memory of shots)" in text


def test_notes_are_told_once_with_whom_they_are_about(make_cache: Make, tmp_path: Path) -> None:
    results = run("tip,linear", caches=[make_cache()], shots=[1, 2], seeds=[1, 2], select="support", out=tmp_path)
    about = [note for note in results.notes if "one shot a class leaves nothing" in note]
    assert len(about) == 1
    assert about[0].startswith("all methods (1 shot): ")


def test_another_format_is_refused(results: Results) -> None:
    with pytest.raises(AdapterError, match="no --format 'xml'; expected one of table, markdown"):
        results.text("xml")


def test_plots_are_drawn_with_every_name(results: Results, tmp_path: Path) -> None:
    svg = results.plot(tmp_path / "plot.svg")
    first = svg.read_bytes()
    texts = ["".join(element.itertext()) for element in ElementTree.fromstring(first).iter() if "text" in element.tag]
    assert {"zero-shot", "tip", "linear", "shots per class"} <= set(texts)
    assert results.plot(svg).read_bytes() == first  # the same file every time
    with Image.open(results.plot(tmp_path / "plot.png")) as picture:
        assert picture.size[0] > 800
        assert np.asarray(picture.convert("L")).std() > 10


def test_a_protocol_with_columns_of_its_own_is_drawn_by_the_first(make_cache: Make, tmp_path: Path) -> None:
    results = run("tip", caches=[make_cache()], shots=[1, 2], seeds=[1, 2], protocol="base-to-new", out=tmp_path)
    assert "test accuracy, HM (%)" in results.plot(tmp_path / "plot.svg").read_text()


def test_a_plot_that_cannot_be_made_is_one_line(results: Results, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"expected a file that ends in \.svg or \.png"):
        results.plot(tmp_path / "plot.jpeg")
    with pytest.raises(RunError, match="such as --plot curve.svg"):
        results.plot(tmp_path / "nowhere" / "plot.svg")
    with pytest.raises(AdapterError, match="nothing to plot"):
        draw((), "", tmp_path / "plot.svg")


def test_one_number_of_shots_can_be_drawn(tmp_path: Path) -> None:
    entry = Entry(0.5, 0.1, 3, True, False, ())
    block = Block(
        "c",
        "c",
        ("4 shots",),
        (4,),
        (Line("tip", "none", (entry,), 0.1, 1.0), Line("none", "none", (None,), 0.1, 1.0)),
        "",
    )
    assert draw((block,), "", tmp_path / "plot.svg").exists()


def test_names_make_room_for_each_other_and_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    wanted = np.sort(0.4 + 0.2 * rng.random(18))
    found = spread_out(wanted.tolist(), 0.04)
    assert min(np.diff(found)) >= 0.04 - 1e-12
    assert np.mean(found) == pytest.approx(wanted.mean(), abs=0.02)
    assert spread_out([0.1, 0.5, 0.9], 0.04) == pytest.approx([0.1, 0.5, 0.9])
    assert spread_out([0.5, 0.5], 0.04) == pytest.approx([0.48, 0.52])
    assert spread_out([0.98, 0.99, 1.0], 0.04) == pytest.approx([0.92, 0.96, 1.0])
    assert spread_out([0.0, 0.01], 0.04) == pytest.approx([0.0, 0.04])


def _printed(results: Results) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(results.table())
    return console.export_text()
