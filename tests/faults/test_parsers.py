"""Whatever stands in a file or among options, its reader reads it or says so in one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.commands.shared.options import parse_grid, parse_options
from featcache.errors import FeatcacheError
from tests.faults.readers import READERS

KEYS = st.sampled_from(
    ["format", "format_version", "identity", "plan", "rows", "dataset", "sets", "default", "prompts", "classes",
     "params", "method", "train", "data", "impath", "label", "path", "split", "templates", "seal", "a", "x",
     "file_name", "filename", "id", "val", "test", "model_cfg", "embed_dim", "vision_cfg", "text_cfg", "rows", "images"]
)  # fmt: skip
WORDS = (
    st.sampled_from(
        [
            "featcache/2",
            "featcache-head",
            "train",
            "a photo of a {}.",
            "{",
            "path,label",
            "file_name,label",
            "id,label",
            "a/1.png",
            "b/1.png",
            "0",
            "1",
            "title = 'x'",
            "[images]",
        ]
    )
    | st.text()
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
JSON = st.recursive(VALUES, lambda part: st.lists(part) | st.dictionaries(KEYS | st.text(), part), max_leaves=15)
LINES = st.lists(st.lists(WORDS, max_size=4).map(",".join), max_size=6).map("\n".join)
CONTENTS = st.binary() | JSON.map(json.dumps).map(str.encode) | LINES.map(lambda text: text.encode(errors="replace"))
NESTED = (b"[" * 5000, b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"1" + b"}" * 300, b"9" * 5000, b"\xef\xbb\xbf{}")


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_or_tells(name: str, tmp_path: Path) -> None:
    def check(content: bytes) -> None:
        line = ""
        try:
            READERS[name](tmp_path, content)
        except FeatcacheError as error:
            line = str(error)
        assert "\n" not in line

    for content in NESTED:
        check(content)
    quick = settings(
        max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    quick(given(CONTENTS)(check))()


FLAGS = st.sampled_from(
    ["--alpha", "--alpha=", "--beta", "--lr", "--epochs", "--neighbours", "--", "-", "1:2:3", "1e999"]
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(FLAGS | st.text() | st.integers().map(str) | st.floats().map(str), max_size=5))
def test_options_are_read_or_told(words: list[str]) -> None:
    for parse in (parse_options, parse_grid):
        with contextlib.suppress(FeatcacheError):
            parse("tip", words)
