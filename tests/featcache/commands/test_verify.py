from __future__ import annotations

import json
from pathlib import Path

import pytest

from featcache.cache.plan import Shard
from featcache.commands.verify import verification_page
from featcache.verification.found import Verification
from tests.conftest import ImageFolder
from tests.pages import assert_all_is_told, texts
from tests.processes import run


def test_verify_ends_with_status_1_on_damage(root: Path, image_folder: ImageFolder) -> None:
    done = run("featcache", "extract", "--model", "tiny", "--dataset", str(image_folder()), "--json")
    shard = Path(json.loads(done.stdout)["cache"], "train/images/c/0/0")
    shard.write_bytes(shard.read_bytes()[:-9])
    done = run("featcache", "verify", "photos-tiny", status=1)
    assert "--repair" in done.stdout


def test_all_is_told_at_any_width() -> None:
    problems = [f"train: rows {i * 100} to {i * 100 + 99} are damaged (a checksum does not match)" for i in range(30)]
    found = Verification(rows={"train": 3000}, unreadable=2, problems=problems, shards=[Shard("train", 0, 100)])
    found.sampled, found.identical, found.largest_difference = 64, 60, 0.01
    page = verification_page(found, "x" * 60, None)
    assert_all_is_told(page)
    assert {"Damaged", "and 10 more (--json lists all)"} <= set(texts(page))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Verification(), "Complete and undamaged"),
        (Verification(problems=["1 row is missing"]), "Unfinished"),
        (Verification(repaired=True, listings=["train"]), "Unfinished now: type the same `featcache extract` command"),
    ],
)
def test_the_verdict_is_the_title(found: Verification, verdict: str) -> None:
    assert verdict in set(texts(verification_page(found, "c", None)))
