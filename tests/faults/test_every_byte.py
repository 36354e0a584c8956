"""Every byte of every file of a cache and of a run: readers give no other number, `verify` finds it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
import featcache
from adapters.fitting.fit import fit
from adapters.runs.catalogue import read_run
from featcache.cache import plan
from featcache.cache.catalogue import locate
from featcache.errors import FeatcacheError
from featcache.places.folder import Folder
from featcache.records import SEAL, unsealed
from featcache.verification.verify import verify_store
from tests.pictures import draw_class_folders

SEED = 12
LOCKS = ("writer.lock", "writer.json")


@dataclass(frozen=True)
class Damage:
    """A file, and what stands in it; None: nothing, it is gone."""

    file: str
    what: str
    content: bytes | None


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a cache of several shards, one image of which is unreadable, and a run."""
    base = tmp_path_factory.mktemp("every-byte")
    photos = draw_class_folders(base / "photos", classes=2, per_class=9, seed=0)
    (photos / "class_0" / "broken.png").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SECONDS_PER_SHARD", 1e-9)  # one batch a shard
        extract(base)
    fit("tip", cache=caches(base), shots=2, seed=1, out=base / "run", device="cpu")
    return base


def extract(base: Path) -> featcache.Cache:
    return featcache.extract(
        "tiny", str(base / "photos"), batch_size=4, views=1, workers=0, on_error="skip", device="cpu",
        root=base / "home", progress=False, name="c",
    )  # fmt: skip


def caches(base: Path) -> featcache.Cache:
    return featcache.open("c", root=base / "home")


def damages(folder: Path, sample: int | None) -> Iterator[Damage]:
    """Each byte with one bit flipped, each file cut, emptied, gone; all, or as many of a file, chosen by the seed."""
    random = np.random.default_rng(SEED)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        if name in LOCKS or not content:
            continue
        places = range(len(content)) if sample is None else random.choice(len(content), min(sample, len(content)))
        for place in map(int, places):
            changed = bytes([content[place] ^ (1 << (place % 8))])
            yield Damage(name, f"byte {place} flipped", content[:place] + changed + content[place + 1 :])
        for length in {0, len(content) // 2, len(content) - 1}:
            yield Damage(name, f"cut to {length}", content[:length])
        yield Damage(name, "gone", None)


def told(error: FeatcacheError) -> str:
    line = str(error)
    assert line
    assert "\n" not in line
    return line


def read_cache(path: Path) -> tuple[Any, str]:
    """All numbers and names that readers give, or the line that they give instead."""
    try:
        cache = featcache.open(path)
        parts = [cache[split] for split in cache.splits]
        views = [None if part.views is None else part.views.tobytes() for part in parts]
        arrays = [[getattr(part, name).tolist() for name in ("ids", "labels", "valid", "content")] for part in parts]
        text = cache.text
        words = (text.name, text.prompts, text.logit_scale, text.logit_bias, text.features.tobytes())
        return (cache.rows, cache.class_names, [part.images.tobytes() for part in parts], views, arrays, words), ""
    except FeatcacheError as error:
        return None, told(error)


@contextlib.contextmanager
def damaged(folder: Path, damage: Damage) -> Iterator[None]:
    path = folder / damage.file
    before = path.read_bytes()
    try:
        path.unlink() if damage.content is None else path.write_bytes(damage.content)
        yield
    finally:
        path.write_bytes(before)


def check_cache(cache: Path, sample: int | None, at_most: int | None = None) -> int:
    expected, count, chosen = read_cache(cache)[0], 0, list(damages(cache, sample))
    if at_most is not None:
        chosen = [chosen[place] for place in np.random.default_rng(SEED).permutation(len(chosen))[:at_most]]
    for damage in chosen:
        count += 1
        sound = (cache / damage.file).read_bytes()
        with damaged(cache, damage):
            found, line = read_cache(cache)
            assert line or found == expected, damage
            try:
                problems = verify_store(locate(cache)).problems
            except FeatcacheError as error:
                problems = [told(error)]
            assert problems or _says_the_same(sound, damage.content), damage
    return count


def _says_the_same(sound: bytes, content: bytes | None) -> bool:
    """Whether only blanks of JSON have changed, or the key of its digest, which then is one that nobody knows."""
    before, after = json.loads(sound), json.loads(content or b"")
    return bool(after == before or (SEAL not in after and after | unsealed(before) == after))


def check_run(run: Path, features: np.ndarray, sample: int | None) -> int:
    expected, count = read_run_folder(run, features)[0], 0
    for damage in damages(run, sample):
        count += 1
        with damaged(run, damage):
            found, line = read_run_folder(run, features)
            assert line or found == expected, damage
    return count


def read_run_folder(run: Path, features: np.ndarray) -> tuple[Any, str]:
    """What a run predicts and reports, or the line instead."""
    try:
        head = adapters.load(run, device="cpu")
        report = read_run(run).require_report()
        return (head.predict_proba(features).tobytes(), head.config["class_names"], report), ""
    except FeatcacheError as error:
        return None, told(error)


def test_a_sample_of_the_bytes_of_a_cache(sound: Path) -> None:
    assert check_cache(sound / "home" / "caches" / "c", sample=1, at_most=60) == 60


def test_a_sample_of_the_bytes_of_a_run(sound: Path) -> None:
    assert check_run(sound / "run", caches(sound)["train"].images[:4], sample=60) > 200


@pytest.mark.long
def test_every_byte_of_a_cache(sound: Path) -> None:
    print(f"cache: {check_cache(sound / 'home' / 'caches' / 'c', None):,} damages, seed {SEED}")


@pytest.mark.long
def test_every_byte_of_a_run(sound: Path) -> None:
    print(f"run: {check_run(sound / 'run', caches(sound)['train'].images[:4], None):,} damages, seed {SEED}")


@pytest.mark.parametrize(
    "file", ["train/images/c/1/0", "train/views/c/0/0/0", "train/content/c/1/0", "train/state/c/1", "train/zarr.json",
             "train/images/zarr.json", "train/ids/c/0/0", "train/labels/zarr.json", "zarr.json", "text/index.json",
             "complete.json", "bad"],
)  # fmt: skip
def test_what_is_damaged_is_mended_and_nothing_else_encoded(sound: Path, file: str, tmp_path: Path) -> None:
    base = tmp_path / "copy"
    shutil.copytree(sound / "home", base / "home")
    (base / "photos").symlink_to(sound / "photos")
    cache = base / "home" / "caches" / "c"
    expected = read_cache(cache)[0]
    path = next((cache / "bad").iterdir()) if file == "bad" else cache / file
    path.write_bytes(path.read_bytes()[:-5])
    before = {
        chunk: chunk.stat().st_mtime_ns for chunk in (cache / "train" / "images" / "c").rglob("0") if chunk.is_file()
    }
    from featcache.verification.verify import verify

    assert verify(Folder(str(cache)), sample=0, repair=True).repaired
    featcache.extract(
        "tiny", str(sound / "photos"), batch_size=4, views=1, workers=0, on_error="skip", device="cpu",
        root=base / "home", progress=False, name="c",
    )  # fmt: skip
    assert read_cache(cache)[0] == expected
    assert verify(Folder(str(cache)), sample=0).problems == []
    again = {chunk: chunk.stat().st_mtime_ns for chunk in before}
    assert (
        sum(before[chunk] != again[chunk] for chunk in before) <= 2
    )  # that shard, and the one of the unreadable image
