"""A file that cannot be written is refused before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.errors import AdapterError
from adapters.show.output_files import check_output


def test_there_must_be_a_folder_for_it_and_it_must_be_none(tmp_path: Path) -> None:
    check_output(tmp_path / "found.csv", "--csv")
    with pytest.raises(AdapterError, match=r"^--csv .*found\.csv: there is no folder .*nowhere: make it"):
        check_output(tmp_path / "nowhere/found.csv", "--csv")
    with pytest.raises(AdapterError, match=r"^--images .* is a folder: give a file in it$"):
        check_output(tmp_path, "--images")
