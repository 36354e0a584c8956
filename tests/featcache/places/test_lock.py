from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from featcache.errors import CacheLocked
from featcache.places.folder import Folder
from featcache.places.lock import writing

HOLD = """
import sys, time
from featcache.places.lock import writing
from featcache.places.folder import Folder
with writing(Folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_writer_refuses_and_names_the_first(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "cache"))
    holder = subprocess.Popen([sys.executable, "-c", HOLD, folder.location], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CacheLocked, match=f"process {holder.pid} on "), writing(folder):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with writing(folder):  # the system dropped the lock of the killed process
        assert folder.read_json("writer.json")["pid"] == os.getpid()
    assert not folder.exists("writer.json")


def test_behind_a_url_the_owner_file_is_the_lock() -> None:
    folder = Folder("memory://locked/cache")
    with writing(folder), pytest.raises(CacheLocked, match=r"remove .*writer\.json"), writing(folder):
        pass
    with writing(folder):
        pass
