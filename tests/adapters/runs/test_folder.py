from __future__ import annotations

import errno
from pathlib import Path

import pytest

from adapters.errors import RunError
from adapters.runs.folder import METRICS, replaced_folder, run_name, slug
from featcache.places import turns


def write_run(folder: Path, content: str) -> None:
    with replaced_folder(folder) as fresh:
        (fresh / METRICS).write_text(content)


def tree(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_name_reads_well_and_follows_the_configuration() -> None:
    name = run_name("tip-f", 4, 1, "val", {"alpha": 0.2})
    assert name.startswith("tip-f-4shot-seed1-val-")
    assert name == run_name("tip-f", 4, 1, "val", {"alpha": 0.2})
    assert name != run_name("tip-f", 4, 1, "val", {"alpha": 0.3})
    assert "none" not in run_name("clip", 4, 1, "none", {})


@pytest.mark.parametrize(("name", "expected"), [("My Photos/2", "My-Photos-2"), ("..", "unnamed"), (".x", "x")])
def test_slugs_are_one_visible_folder_name(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_a_run_replaces_the_earlier_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    write_run(folder, "1")
    write_run(folder, "2")
    assert (folder / METRICS).read_text() == "2"
    assert tree(folder.parent) == ["a"]


def test_a_failure_keeps_the_earlier_run(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    write_run(folder, "1")
    with pytest.raises(RunError, match="No such file"), replaced_folder(folder) as fresh:
        (fresh / "no such folder" / METRICS).write_text("half")
    assert (folder / METRICS).read_text() == "1"
    assert tree(tmp_path) == ["a"]


def test_a_swap_in_two_steps_that_fails_puts_the_earlier_run_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    def never(one: Path, other: Path) -> None:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr(turns, "rename_each_other", never)
    folder = tmp_path / "a"
    write_run(folder, "1")
    rename = os.rename

    def failing(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError("not now")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(RunError, match=r"cannot write .* \(not now\)"):
        write_run(folder, "2")
    assert (folder / METRICS).read_text() == "1"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    write_run(tmp_path, "1")
    assert tree(tmp_path) == [METRICS]


@pytest.mark.parametrize("name", ["thesis.tex", "README.md"])
def test_a_folder_that_is_no_run_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match="give a new folder as --out"):
        write_run(tmp_path, "1")
    assert (tmp_path / name).read_text() == "mine"


def test_a_file_as_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RunError, match="is a file, expected a folder"):
        write_run(tmp_path / "x", "1")
    with pytest.raises(RunError, match="cannot write"):
        write_run(tmp_path / "x" / "run", "1")
