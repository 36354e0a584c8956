"""What `adapters audit` shows and writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.auditing.audit import audit
from adapters.commands.audit import audit as command
from adapters.commands.audit import audit_page
from adapters.errors import AdapterError
from tests.adapters.conftest import FakeCache
from tests.pages import texts

Make = Callable[..., FakeCache]


def typed(page: Any) -> str:
    return next(text for text in texts(page) if text.startswith("adapters "))


def test_what_to_type_next_is_for_the_same_cache_labels_and_root(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache(12)
    assert typed(audit_page(audit(cache))) == "adapters audit shapes-tiny --csv FILE"
    file = tmp_path / "mended.csv"
    file.write_text(f"id,label\n{cache['train'].ids[0]},\n")
    found = audit(cache.relabelled(file))
    assert typed(audit_page(found, None, "a/b")) == f"adapters audit shapes-tiny --labels {file} --csv FILE --root a/b"
    assert typed(audit_page(found, tmp_path / "x.csv", "a/b")).endswith(f"--labels {tmp_path}/x.csv --root a/b")


def test_small_classes_are_told_with_the_images_that_they_are_measured_on(make_cache: Make) -> None:
    cache = make_cache(12)
    cache["test"].valid[cache["test"].labels == 3] = False
    assert "sea (0)" in texts(audit_page(audit(cache)))


def test_without_labels_it_is_said_that_outliers_were_not_looked_for(make_cache: Make) -> None:
    cache = make_cache(12)
    for split in cache.splits:
        cache[split].labels[:] = -1
    assert "not looked for: fewer than two images have a label" in texts(audit_page(audit(cache)))


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="--csv .*: there is no folder"):  # and not that there is no such cache
        command("nothing", csv=tmp_path / "nowhere/x.csv", root=str(tmp_path))


def test_the_csv_takes_the_place_of_the_labels_that_were_given(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache(30, noise=0.4)
    first, second = (cache["train"].ids[row] for row in (0, 1))
    file = tmp_path / "given.csv"
    mended = cache.class_names[(cache["train"].labels[0] + 1) % 4]
    file.write_text(f"id,label\n{first},{mended}\n{second},\n")
    given = cache.relabelled(file)
    audit(given).to_csv(tmp_path / "found.csv")
    again = cache.relabelled(tmp_path / "found.csv")
    assert (again["train"].labels == given["train"].labels).all()
    assert (again["train"].labels != cache["train"].labels).sum() == 2
