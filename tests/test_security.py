"""What SECURITY.md says, sentence by sentence."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from adapters.bench.formats.latex import _escape
from adapters.errors import RunError
from adapters.html.cards import Card, Group, cards_page
from adapters.html.pictures import Pictures
from adapters.predicting.encoder import check_encoder
from adapters.runs.folder import slug
from adapters.show.tidy import csv_bytes
from featcache.datasets.load import load_dataset
from featcache.errors import CacheError, FeatcacheError, visible
from featcache.places.folder import check_name
from featcache.show.markdown import escaped
from featcache.show.page import Page, Table
from tests.pictures import draw_class_folders
from tests.processes import ENTRIES

CHECKOUT = Path(__file__).parents[1]
SOURCES = [*(CHECKOUT / "featcache").rglob("*.py"), *(CHECKOUT / "adapters").rglob("*.py"), CHECKOUT / "cli.py"]
PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OWN_ERRORS = "featcache/extraction/engines/processes.py"
BAD = "a\x1b[2J\x1b]0;owned\x07\u202ecod.exe\u2066\r\x9b"


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_nothing_is_unpickled() -> None:
    assert len(SOURCES) > 200
    for source, called, node in ((each, *call) for each in SOURCES for call in calls(each)):
        name = source.relative_to(CHECKOUT).as_posix()
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called.split(".")[0] in PICKLING:
            assert (name, called) in {(OWN_ERRORS, "pickle.loads"), (OWN_ERRORS, "pickle.dumps")}
            assert called == "pickle.dumps" or ast.unparse(node.args[0]).startswith("pickle.dumps(")
        if called == "torch.load":
            assert keywords.get("weights_only") == "True"
        assert keywords.get("allow_pickle", "False") == "False"  # as is NumPy's own default


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc", "..", ".", "", "a\\b", "~", "a\x00b", "x\n", "\u202ex"])
def test_names_cannot_leave_the_root(name: str) -> None:
    with pytest.raises(CacheError):
        check_name(name, "the name")
    assert slug(name).isascii()
    assert not {"/", "\\", "..", "~", "\x00", "\n"} & {slug(name), *slug(name)}


def test_archives_cannot_write(tmp_path: Path) -> None:
    draw_class_folders(tmp_path / "photos", classes=2, per_class=12, seed=0)
    home = tmp_path / "home"
    home.mkdir()
    with zipfile.ZipFile(home / "x.zip", "w") as archive:
        for image in (tmp_path / "photos").rglob("*.png"):
            archive.write(image, image.relative_to(tmp_path / "photos"))
        archive.writestr("../outside.png", b"x")
        archive.writestr("/tmp-outside.png", b"x")
    before = sorted(path for path in tmp_path.rglob("*"))
    with contextlib.suppress(FeatcacheError):  # refused as a whole, or without the two
        dataset = load_dataset(str(home / "x.zip"))
        ids = [str(image_id) for split in dataset.splits.values() for image_id in split.ids]
        assert not [image_id for image_id in ids if "outside" in image_id]
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert not Path("/tmp-outside.png").exists()


def test_what_steers_a_terminal_is_shown_escaped() -> None:
    assert visible(BAD) == r"a\x1b[2J\x1b]0;owned\x07\u202ecod.exe\u2066\r\x9b"
    assert visible("Ünï 图 👩\u200d🌾 می\u200cخواهم\n") == "Ünï 图 👩\u200d🌾 می\u200cخواهم\n"
    lines = "\n".join(Page([Table((BAD, "n"), [(BAD, BAD)], title=BAD), BAD]).lines())
    assert all(letter.isprintable() or letter == "\n" for letter in lines)


def test_tables_drawn_on_a_terminal_hold_no_escape_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    Console(force_terminal=True, width=200, color_system=None).print(Page([Table((BAD,), [(BAD,)]), BAD]))
    drawn = capsys.readouterr().out
    assert "owned" in drawn
    assert "\x1b[2J" not in drawn
    assert "\x1b]0;" not in drawn
    assert not set("\x07\u202e\u2066\x9b") & set(drawn)


@pytest.mark.parametrize("words", [["featcache", "info", BAD], ["adapters", "eval", BAD]])
def test_errors_are_one_line_without_escapes(words: list[str], tmp_path: Path) -> None:
    code = f"import sys, cli; sys.argv = sys.argv[1:]; cli.{ENTRIES[words[0]]}()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True, env={**os.environ, "FEATCACHE_HOME": str(tmp_path), "PYTHONUTF8": "1"},
    )  # fmt: skip
    told = done.stderr.decode()
    assert done.returncode == 2
    assert all(letter.isprintable() for letter in told.removesuffix("\n"))


def test_markdown_and_latex_are_escaped() -> None:
    assert escaped("<script>|[x](y)\n# *b*") == r"&lt;script&gt;\|\[x\](y) # \*b\*"
    assert "\\" not in escaped("plain name 2.0 (a-b)")
    assert _escape(r"\input{x}~^_") == r"\textbackslash{}input\{x\}\textasciitilde{}\textasciicircum{}\_"


def test_reports_are_escaped_and_forbid_all_but_their_own() -> None:
    pictures, evil = Pictures(None, "gone"), "</title><script>alert(1)</script><img src=https://example.com>"
    page = cards_page(evil, [Group(evil, evil, [Card(pictures.of(evil), classes=(evil,))])], pictures)
    assert page.count("<script") == 1  # our own, whose digest the policy names
    assert "<img" not in page
    assert "default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-" in page


def test_cells_of_csv_are_defused() -> None:
    written = csv_bytes([{"note": "=cmd|' /C calc'!A0", "accuracy": -0.5}], ["note", "accuracy"], {}).decode()
    assert written == "note,accuracy\n'=cmd|' /C calc'!A0,-0.5\n"


CODE = """
import os, sys
os.umask(int(sys.argv[2], 8))
import featcache
from adapters.fitting.fit import fit
from adapters.bench.benchmark import run
from pathlib import Path
base = Path(sys.argv[1])
cache = featcache.extract("tiny", "digits", limit=40, workers=0, device="cpu", root=base / "home", progress=False)
fit("zero-shot", cache=cache, shots=1, seed=1, out=base / "runs" / "a", device="cpu")
run("zero-shot", caches=[cache], shots=[1], seeds=[1], out=base / "bench")
"""


@pytest.mark.parametrize("umask", ["022", "077", "002"])
def test_new_files_follow_the_umask(umask: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path), umask], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"writer.lock", ".lock", "config.json", "manifest.json"} <= {path.name for path in files}
    wrong = {
        path: oct(path.stat().st_mode) for path in files if stat.S_IMODE(path.stat().st_mode) != 0o666 & ~int(umask, 8)
    }
    assert not wrong
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert not [path for path in folders if stat.S_IMODE(path.stat().st_mode) != 0o777 & ~int(umask, 8)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves the file to be closed
def test_downloads_are_held_to_a_checksum_in_their_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from open_clip.pretrained import download_pretrained_from_url

    class Answer(io.BytesIO):
        headers: ClassVar[dict[str, str]] = {"Content-Length": "5"}

    monkeypatch.setattr("urllib.request.urlopen", lambda url: Answer(b"other"))
    with pytest.raises(RuntimeError, match="SHA256 checksum does not"):
        download_pretrained_from_url(f"https://openaipublic.example/{'a' * 64}/RN50.pt", str(tmp_path))


def test_a_served_head_is_for_this_machine_unless_told_otherwise() -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from inspect import signature

    from adapters.commands.saved.serve import serve
    from adapters.serving.limits import Limits
    from adapters.serving.page import CSS, HEADERS, HTML, JS

    assert signature(serve).parameters["host"].default == "127.0.0.1"
    assert all(bound > 0 for bound in Limits().to_json().values())
    policy = HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert "innerHTML" not in JS
    assert not [word for word in ("http:", "https:", "//cdn", " on", "style=") if word in HTML or word in CSS]
    app = (CHECKOUT / "adapters/serving/app.py").read_text()
    assert "compare_digest" in app


def test_weights_of_a_saved_head_are_held_to_its_digest() -> None:
    expected = {"architecture": "tiny", "pretrained": "local", "weights_sha256": "a" * 64, "transform_sha256": "b" * 64}
    check_encoder(expected, expected, "mine")
    with pytest.raises(RunError, match="run mine was fitted on tiny"):
        check_encoder(expected, {**expected, "weights_sha256": "c" * 64}, "mine")
