"""A page as a file: its policy, and where it may be written."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from adapters.errors import AdapterError
from adapters.html.cards import cards_page
from adapters.html.document import check_html_file, write_html
from adapters.html.pictures import Pictures


def test_the_policy_allows_the_page_s_own_style_and_script_alone() -> None:
    page = cards_page("Found", [], Pictures(None))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    told = policy[1].replace("&#39;", "'")
    for kind in ("style", "script"):
        (inside,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in told
    assert told.startswith("default-src 'none'; img-src data:;")
    body = page.partition("</head>")[2]
    assert not re.search(r"\sstyle=|\son\w+=|https?://", re.sub(r"<script>.*?</script>", "", body, flags=re.DOTALL))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("report.txt", "--out .*report.txt given; expected a file that ends in .html or .htm"),
        ("nowhere/report.html", "there is no folder .*nowhere: make it, or give another file"),
        ("folder.html", "folder.html is a folder: give a file in it"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(AdapterError, match=told):
        check_html_file(tmp_path / name, "--out")


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    check_html_file(tmp_path / "report.HTML", "--out")
    write_html(tmp_path / "report.html", "Ä", "--out")
    assert (tmp_path / "report.html").read_bytes() == "Ä".encode()
    with pytest.raises(AdapterError, match=r"cannot write .* give another file as --out"):
        write_html(tmp_path / "nowhere" / "report.html", "", "--out")
