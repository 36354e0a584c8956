"""Every byte of every file of a cache and of a run: readers give no other number, `verify` finds it."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import sys
from collections.abc import Collection, Iterator
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
from featcache.cache.layout import ROOT_GROUP
from featcache.cache.plan import ShardPlan
from featcache.cache.reading import read_manifest
from featcache.errors import FeatcacheError
from featcache.places.arrays import WholeFiles
from featcache.places.disk import Disk
from featcache.places.folder import Folder
from featcache.records import SEAL, unsealed
from featcache.verification import verify as verifying
from featcache.verification.found import Verification
from featcache.verification.verify import verify_store
from tests.faults.conftest import Faults
from tests.pictures import draw_class_folders

SEED = 12
LOCKS = ("writer.lock", "writer.json")


@dataclass(frozen=True)
class Damage:
    """A file, and what stands in it; None: nothing, it is gone. The first byte that differs is at `place`."""

    file: str
    what: str
    content: bytes | None
    place: int = 0


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


KINDS = ("flipped", "swapped with its neighbour", "files cut, emptied and removed")


def damages(folder: Path, sample: int | None, kinds: Collection[str] = KINDS) -> Iterator[Damage]:
    """Each byte with one bit flipped, and in the place of its neighbour; each file cut, emptied, gone.

    All bytes, or as many of each file, chosen by the seed.
    """
    random = np.random.default_rng(SEED)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        if name in LOCKS or not content:
            continue
        places = range(len(content)) if sample is None else random.choice(len(content), min(sample, len(content)))
        for place in map(int, places):
            flipped, pair = bytes([content[place] ^ (1 << (place % 8))]), content[place : place + 2]
            if KINDS[0] in kinds:
                yield Damage(name, f"byte {place} flipped", content[:place] + flipped + content[place + 1 :], place)
            if KINDS[1] in kinds and pair != pair[::-1]:
                yield Damage(name, f"byte {place} swapped", content[:place] + pair[::-1] + content[place + 2 :], place)
        if KINDS[2] not in kinds:
            continue
        for length in {0, len(content) // 2, len(content) - 1}:
            yield Damage(name, f"cut to {length}", content[:length], length)
        yield Damage(name, "gone", None)


def swapped_files(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of files of one size that say other things."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in LOCKS]
    pairs = itertools.combinations(files, 2)
    return [
        (one, other)
        for one, other in pairs
        if one.stat().st_size == other.stat().st_size and one.read_bytes() != other.read_bytes()
    ]


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


class Found(Exception):  # noqa: N818 - it is no error
    """`verify` has found something, and need not go on."""


class FirstProblem(list[str]):
    """Problems, of which one is enough."""

    def append(self, problem: str) -> None:
        raise Found(problem)


ATTRIBUTES = {
    "images": ["images"], "views": ["views"], "content": ["content"], "state": ["valid", "images"], "ids": ["ids"],
    "labels": ["labels"],
}  # fmt: skip
"""What readers of a split take from an array."""


@contextlib.contextmanager
def files_read() -> Iterator[set[str]]:
    """The files of a folder that are asked for meanwhile: damage of another changes nothing of what is read."""
    seen: set[str] = set()
    read, get = Disk.read, WholeFiles.get

    def reading(self: Disk, name: str) -> bytes:
        seen.add(name)
        return read(self, name)

    async def getting(self: WholeFiles, key: str, *how: Any, **named: Any) -> Any:
        seen.add(key)
        return await get(self, key, *how, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Disk, "read", reading)
        patch.setattr(WholeFiles, "get", getting)
        yield seen


class Looking:
    """Looks at a cache with one damaged file: first at what is read of that file, since all the rest takes longer.

    Each byte of a file costs milliseconds so, and a tenth of a second otherwise.
    """

    def __init__(self, cache: Path) -> None:
        self._path, self._folder = cache, locate(cache)
        self._manifest = read_manifest(self._folder)
        with files_read() as self._read:
            self._expected = read_cache(cache)[0]
        self._plan = ShardPlan.from_manifest(self._manifest)
        sound = featcache.open(cache)
        self._parts = {
            (s, name): _value(sound, s, name) for s in sound.splits for each in ATTRIBUTES.values() for name in each
        }

    def reader_errs(self, damage: Damage, sound: bytes) -> str:
        """What a reader gives that is neither what it should nor an error; empty: it does well."""
        if damage.file not in self._read:
            return ""
        split, array = _array_of(damage, sound)
        if array in ATTRIBUTES:
            for name in ATTRIBUTES[array]:
                try:
                    if _value(featcache.open(self._path), split, name) != self._parts[split, name]:
                        return f"{split} {name}"
                except FeatcacheError as error:
                    told(error)
                    return ""
            if damage.file != ROOT_GROUP:
                return ""
        found, line = read_cache(self._path)
        return "" if line or found == self._expected else "the cache"

    def is_found(self, damage: Damage, sound: bytes) -> bool:
        """Whether `verify` finds it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verifying, "Verification", lambda **known: Verification(problems=FirstProblem(), **known))
            try:
                self._verify_first(*_array_of(damage, sound), damage.file)
                verify_store(self._folder)
            except Found:
                return True
            except FeatcacheError as error:
                return bool(told(error))
        return False

    def _verify_first(self, split: str, array: str, file: str) -> None:
        """The part of `verify` that reads this file."""
        found = Verification(rows=dict(self._plan.rows), finished=True, problems=FirstProblem())
        if file.endswith(f"/{ROOT_GROUP}") or split == "bad" or array in ("ids", "labels"):
            verifying._check_digests(self._folder, found)
        elif split == "text" and array:
            verifying._check_prompt_sets(self._folder, self._manifest, found)
        elif file == ROOT_GROUP:
            verifying._check_file(
                file, lambda: verifying._check_consolidated(self._folder, self._plan, finished=True), found
            )
        elif split in self._plan.rows:
            group = self._folder.group("r")
            shard = list(self._plan.shards(split))[int(file.split("/")[3])]
            verifying._check_shard(group, shard, self._manifest, found)


def _array_of(damage: Damage, sound: bytes) -> tuple[str, str]:
    """The split and array that a file holds, or that its damaged part is about."""
    if damage.file == ROOT_GROUP:
        named = re.findall(rb'"(\w+)/(\w+)": \{', sound[: damage.place + 1])
        return (named[-1][0].decode(), named[-1][1].decode()) if named else ("", "")
    split, _, rest = damage.file.partition("/")
    return split, rest.partition("/")[0]


def _value(cache: featcache.Cache, split: str, name: str) -> Any:
    value = getattr(cache[split], name)
    return None if value is None else value.tobytes() if value.dtype.kind == "f" else value.tolist()


def check_cache(cache: Path, sample: int | None, at_most: int | None = None, kinds: Collection[str] = KINDS) -> int:
    looking, count, chosen = Looking(cache), 0, damages(cache, sample, kinds)
    if at_most is not None:
        every = list(chosen)
        chosen = (every[place] for place in np.random.default_rng(SEED).permutation(len(every))[:at_most])
    for damage in chosen:
        count += 1
        if count % 1000 == 0:
            print(f"{count:,}: {damage.file}", file=sys.__stderr__, flush=True)
        sound = (cache / damage.file).read_bytes()
        with damaged(cache, damage):
            assert not looking.reader_errs(damage, sound), damage
            assert looking.is_found(damage, sound) or _says_the_same(sound, damage.content), damage
    return count


def _says_the_same(sound: bytes, content: bytes | None) -> bool:
    """Whether only blanks of JSON have changed, or the key of its digest, which then is one that nobody knows."""
    try:
        before, after = json.loads(sound), json.loads(content or b"")
    except ValueError:
        return False
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


def test_files_that_took_each_others_place(sound: Path, faults: Faults) -> None:
    cache = sound / "home" / "caches" / "c"
    pairs = swapped_files(cache)
    assert len(pairs) > 50
    for one, other in pairs if faults.long else faults.rng.sample(pairs, 12):
        before = one.read_bytes(), other.read_bytes()
        try:
            one.write_bytes(before[1])
            other.write_bytes(before[0])
            try:
                found = verify_store(locate(cache)).problems
            except FeatcacheError as error:
                found = [told(error)]
            named = " ".join(found)
            both = [path.relative_to(cache).parts[0] in named for path in (one, other)]
            # Of two chunks that differ only behind the last row of one of them, that one reads as before.
            assert any(both) if one.parent.parent.name == "state" else all(both), (one, other, found)
        finally:
            one.write_bytes(before[0])
            other.write_bytes(before[1])
    faults.tell(f"{len(pairs) if faults.long else 12} of {len(pairs)} pairs of files swapped")


def test_a_sample_of_the_bytes_of_a_run(sound: Path) -> None:
    assert check_run(sound / "run", caches(sound)["train"].images[:4], sample=60) > 200


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_of_a_cache(kind: str, sound: Path, faults: Faults) -> None:
    faults.tell(
        f"{check_cache(sound / 'home' / 'caches' / 'c', None, kinds=[kind]):,} bytes or files of a cache: {kind}"
    )


@pytest.mark.long
def test_every_byte_of_a_run(sound: Path, faults: Faults) -> None:
    faults.tell(f"{check_run(sound / 'run', caches(sound)['train'].images[:4], None):,} damages of a run")


@pytest.mark.parametrize(
    "file", ["train/images/c/1/0", "train/views/c/0/0/0", "train/content/c/1/0", "train/seals/c/1/0",
             "train/state/c/1", "train/zarr.json",
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
