"""Data sets that grow: what is the same is taken, bit for bit, and what was in test is in test again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featcache
from featcache.cache.encoded_rows import EncodedRows
from featcache.cache.reading import Cache
from featcache.cache.writing import CacheStore, ShardResult
from featcache.encoding.known_images import UNKNOWN, KnownImages
from featcache.errors import CacheMismatch, DataError
from featcache.extraction.extract import ExtractionReport, run_extraction
from featcache.extraction.planned import planned
from featcache.extraction.request import Request
from featcache.places.folder import Folder
from featcache.verification.verify import verify
from tests.buckets import serving
from tests.conftest import ImageFolder


def extract(folder: Path | str, **options: object) -> ExtractionReport:
    defaults = {"model": "tiny", "dataset": str(folder), "workers": 0, "device": "cpu", "batch_size": 4, "check": False}
    return run_extraction(Request(**{**defaults, **options}), progress=False)  # type: ignore[arg-type]


def draw(file: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def where(cache: Cache) -> dict[str, str]:
    """The split of each id."""
    return {str(name): split for split in cache.splits for name in cache[split].ids}


def by_content(cache: Cache) -> dict[bytes, str]:
    """The split of each file."""
    return {content.tobytes(): split for split in cache.splits for content in cache[split].content}


def rows_of(cache: Cache) -> dict[str, bytes]:
    """Embedding and digest of each image, by its id."""
    return {
        str(name): row.tobytes() + content.tobytes()
        for split in cache.splits
        for name, row, content in zip(cache[split].ids, cache[split].images, cache[split].content, strict=True)
    }


def assert_as_from_scratch(cache: Cache, tmp_path: Path) -> None:
    """Each row is what encoding all images anew gives; splits that are made may be others there."""
    fresh = extract(cache.manifest["provenance"]["request"]["dataset"], root=tmp_path / "scratch", dtype="float32")
    assert fresh.reused == 0
    assert cache.manifest["identity"]["dtype"] == "float32"
    assert rows_of(cache) == rows_of(fresh.cache)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_are_added_alone_are_encoded(
    root: Path, image_folder: ImageFolder, tmp_path: Path, workers: int
) -> None:
    folder = image_folder()
    first = extract(folder, dtype="float32").cache
    for number in range(7):
        draw(folder / f"class_{number % 3}" / f"new{number}.png", number)
    report = extract(folder, dtype="float32", workers=workers)
    assert (report.encoded, report.reused, report.resumed) == (7, 60, 0)
    assert report.to_json()["reused"] == 60
    assert (report.cache.name, report.instead_of) == ("photos-tiny-2", "photos-tiny")
    assert sum(report.cache.rows.values()) == 67
    before, now = where(first), where(report.cache)
    assert {name: now[name] for name in before} == before
    kept = report.cache.manifest["provenance"]["split"]["kept"]
    assert kept == {"images": 60, "caches": [{"name": "photos-tiny", "digest": first.digest}]}
    assert_as_from_scratch(report.cache, tmp_path)
    again = extract(folder, dtype="float32")
    assert (again.cache.name, again.encoded, again.reused, again.resumed) == ("photos-tiny-2", 0, 0, 67)
    assert featcache.open("photos-tiny").digest == first.digest
    assert verify(report.cache.folder, sample=67).problems == []
    assert planned(Request(model="tiny", dataset=str(folder), dtype="float32")).finished


def test_images_that_are_moved_renamed_changed_and_removed(
    root: Path, image_folder: ImageFolder, tmp_path: Path
) -> None:
    folder = image_folder()
    first = extract(folder, dtype="float32").cache
    contents, ids = by_content(first), where(first)
    (folder / "class_0/000.png").rename(folder / "class_1/moved.png")
    (folder / "class_2/003.png").rename(folder / "class_2/renamed.png")
    (folder / "class_1/004.png").unlink()
    draw(folder / "class_0/005.png", 5)
    report = extract(folder, dtype="float32")
    assert (report.encoded, report.reused) == (1, 58)
    assert where(report.cache)["class_0/005.png"] == ids["class_0/005.png"]
    for content, split in by_content(report.cache).items():
        assert split == contents.get(content, ids["class_0/005.png"])
    assert_as_from_scratch(report.cache, tmp_path)


def test_images_that_are_numbered_anew_stay_in_their_splits_by_their_files(
    root: Path, image_folder: ImageFolder
) -> None:
    """Each has the name of another then: told by ids, test images would be trained on."""
    folder = image_folder()
    contents = by_content(extract(folder).cache)
    (folder / "class_0/000.png").unlink()
    for number in range(1, 20):
        (folder / f"class_0/{number:03d}.png").rename(folder / f"class_0/{number - 1:03d}.png")
    report = extract(folder)
    assert (report.encoded, report.reused) == (0, 59)
    assert by_content(report.cache).items() <= contents.items()


def test_two_images_that_change_places_change_splits_with_them(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    first = extract(folder).cache
    one, other = (folder / str(first[split].ids[0]) for split in ("train", "test"))
    (folder / "aside").write_bytes(one.read_bytes())
    one.write_bytes(other.read_bytes())
    other.write_bytes((folder / "aside").read_bytes())
    (folder / "aside").unlink()
    (folder / "class_0/zzz.png").write_bytes(b"")  # so that the listing is another one, whatever the files' sizes
    report = extract(folder, on_error="skip")
    assert report.reused == 60
    assert by_content(report.cache).items() >= by_content(first).items()


def test_a_changed_image_in_a_listing_that_is_the_same(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    first = extract(folder).cache
    Image.new("RGB", (8, 8)).save(folder / "class_0/000.png")
    report = extract(folder)
    assert (report.cache.name, report.encoded, report.reused) == ("photos-tiny-2", 1, 59)
    assert where(report.cache) == where(first)
    with pytest.raises(CacheMismatch, match="the images' file sizes differ"):
        extract(folder, name="photos-tiny")


def test_a_changed_image_of_the_same_size_is_noticed_by_when_it_was_written(
    root: Path, image_folder: ImageFolder
) -> None:
    folder = image_folder()
    first = extract(folder).cache
    one = folder / str(first["train"].ids[0])
    one.touch()
    assert extract(folder).cache.name == "photos-tiny"  # written, but the same
    content = bytearray(one.read_bytes())
    content[-20] ^= 1  # in the checksum of the pixels, which is compared with them
    one.write_bytes(content)
    report = extract(folder, on_error="skip")
    assert (report.cache.name, report.reused, report.skipped) == ("photos-tiny-2", 59, 1)
    assert where(report.cache) == where(first)
    with pytest.raises(CacheMismatch, match="images.files is absent in the cache and changed in this run"):
        extract(folder, name="photos-tiny")


def test_a_data_set_with_its_own_splits_obeys_itself(root: Path, image_folder: ImageFolder) -> None:
    for split in ("train", "test"):
        image_folder(f"photos/{split}", per_class=6, seed=len(split))
    folder = image_folder("other").parent / "photos"
    extract(folder)
    (folder / "train/class_0/000.png").rename(folder / "test/class_0/moved.png")
    report = extract(folder)
    assert (report.encoded, report.reused, report.cache.rows) == (0, 36, {"train": 17, "test": 19})
    assert where(report.cache)["test/class_0/moved.png"] == "test"


def test_views_are_taken_under_the_same_id_alone(root: Path, image_folder: ImageFolder, tmp_path: Path) -> None:
    """They are drawn by it."""
    folder = image_folder()
    first = extract(folder, views=2).cache
    train, test = (str(first[split].ids[0]) for split in ("train", "test"))
    for name in (train, test):
        (folder / name).rename((folder / name).with_name("renamed.png" if name == train else "elsewhere.png"))
    report = extract(folder, views=2)
    assert (report.encoded, report.reused) == (1, 59)
    assert where(report.cache)[train.rpartition("/")[0] + "/renamed.png"] == "train"
    scratch = extract(folder, views=2, root=tmp_path / "scratch").cache
    found, fresh = (dict(zip(one["train"].ids, one["train"].views, strict=True)) for one in (report.cache, scratch))
    both = found.keys() & fresh.keys()
    assert len(both) > 20
    assert all(found[name].tobytes() == fresh[name].tobytes() for name in both)


def test_any_cache_of_the_same_encoder_gives_and_no_other(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    extract(folder)
    copy = shutil.copytree(folder, folder.parent / "more")
    assert extract(copy).reused == 60
    for other in ({"dtype": "float32"}, {"batch_size": 8}, {"precision": "bf16"}, {"decode": "fast"}):
        assert extract(copy, name="x" + "".join(map(str, other.values())), **other).reused == 0


def test_what_is_unreadable_is_tried_anew(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    (folder / "class_1/zzz.png").write_bytes(b"no image")
    extract(folder, on_error="skip")
    draw(folder / "class_0/new.png", 1)
    with pytest.raises(DataError, match=r"class_1/zzz\.png"):
        extract(folder)
    report = extract(folder, on_error="skip")
    assert (report.encoded, report.reused, report.resumed, report.skipped) == (1, 60, 0, 1)


def test_images_that_are_arrays_are_taken_from_the_same_data_set(root: Path) -> None:
    first = extract("digits", limit=20)
    report = extract("digits", limit=40)
    assert (first.encoded, report.encoded, report.reused) == (60, 60, 60)
    assert set(by_content(first.cache)) <= set(by_content(report.cache))


def test_a_damaged_shard_of_the_other_cache_is_encoded_anew(
    root: Path, image_folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featcache.cache.plan.SECONDS_PER_SHARD", 1e-9)  # one batch a shard
    folder = image_folder()
    first = extract(folder, dtype="float32").cache
    shard = Path(first.path, "train/images/c/2/0")
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    content_chunk = Path(first.path, "test/content/c/1/0")
    content_chunk.write_bytes(content_chunk.read_bytes()[:-1])
    draw(folder / "class_0/new.png", 1)
    report = extract(folder, dtype="float32")
    assert (report.encoded, report.reused) == (9, 52)
    assert_as_from_scratch(report.cache, tmp_path)


def test_rows_of_another_image_are_not_taken(root: Path, image_folder: ImageFolder) -> None:
    """As when the other cache was written anew after its digests were read."""
    cache = extract(image_folder(), views=1).cache
    known = KnownImages([EncodedRows(cache.folder, cache.manifest)], {"train": 1}, [False])
    contents, ids = cache["train"].content[:3].copy(), cache["train"].take_padded_ids(slice(0, 3))
    names = cache["train"].ids[:3]
    places = np.array([known.find("train", *each) for each in zip(names, [b""] * 3, map(bytes, contents), strict=True)])
    assert (places >= 0).all()
    assert known.find("train", "another", b"", bytes(contents[0])) == UNKNOWN  # its views would be others
    assert known.find("test", "another", b"", bytes(cache["test"].content[0])) >= 0
    contents[1] ^= 1
    found = known.take("train", places, contents, ids, cache.encoder["dim"])
    assert found.taken.tolist() == [True, False, True]
    assert np.array_equal(found.images[0], cache["train"].images[0])
    assert np.array_equal(found.views[2], cache["train"].views[2])
    contents[1] ^= 1
    assert known.take("train", places, contents, ids[[0, 0, 2]], cache.encoder["dim"]).taken.tolist() == [
        True,
        False,
        True,
    ]


def test_the_other_cache_vanishes_on_the_way(
    root: Path, image_folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featcache.cache.plan.SECONDS_PER_SHARD", 1e-9)
    folder = image_folder()
    first = extract(folder, dtype="float32").cache
    draw(folder / "class_0/new.png", 1)
    write, written = CacheStore.write, []

    def removing(self: CacheStore, result: ShardResult) -> None:
        write(self, result)
        written.append(result)
        if len(written) == 3:
            shutil.rmtree(first.path)

    monkeypatch.setattr(CacheStore, "write", removing)
    report = extract(folder, dtype="float32", workers=1)
    assert 8 <= report.reused < 60
    assert report.encoded + report.reused == 61
    assert_as_from_scratch(report.cache, tmp_path)


def test_stopped_on_the_way_it_goes_on(
    root: Path, image_folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featcache.cache.plan.SECONDS_PER_SHARD", 1e-9)
    folder = image_folder()
    extract(folder, dtype="float32")
    for number in range(5):
        draw(folder / f"class_0/new{number}.png", number)
    write, written = CacheStore.write, []

    def stopping(self: CacheStore, result: ShardResult) -> None:
        if len(written) == 6:
            raise KeyboardInterrupt
        write(self, result)
        written.append(result.reused)

    monkeypatch.setattr(CacheStore, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        extract(folder, dtype="float32")
    monkeypatch.setattr(CacheStore, "write", write)
    report = extract(folder, dtype="float32")
    assert (report.cache.name, report.resumed) == ("photos-tiny-2", 24)
    assert report.reused == 60 - sum(written)
    assert report.encoded == 5 - (24 - sum(written))
    assert_as_from_scratch(report.cache, tmp_path)


def test_what_an_unfinished_cache_has_is_taken(
    root: Path, image_folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featcache.cache.plan.SECONDS_PER_SHARD", 1e-9)
    folder = image_folder()
    last = folder / "class_2/019.png"
    content = last.read_bytes()
    last.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        extract(folder, dtype="float32")
    begun = Folder(str(root / "caches/photos-tiny"))
    assert not begun.exists("complete.json")
    splits = [array for array in ("train", "val", "test") if begun.names(f"{array}/state/c")]
    last.write_bytes(content)
    draw(folder / "class_0/new.png", 1)
    report = extract(folder, dtype="float32")
    assert report.cache.name == "photos-tiny-2"
    assert report.reused >= 4 * len(splits)
    assert report.encoded + report.reused == 61
    assert_as_from_scratch(report.cache, tmp_path)


def test_in_several_processes(root: Path, image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = image_folder()
    extract(folder, dtype="float32")
    draw(folder / "class_0/new.png", 1)
    report = extract(folder, dtype="float32", device="auto", devices="cpu,cpu")
    assert (report.encoded, report.reused) == (1, 60)
    assert json.loads(json.dumps(report.to_json()))["reused"] == 60


def test_under_a_root_behind_a_url(root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = image_folder()
    with serving(monkeypatch):
        extract(folder, root="s3://bucket/home")
        draw(folder / "class_0/new.png", 1)
        report = extract(folder, root="s3://bucket/home")
        assert (report.cache.name, report.encoded, report.reused) == ("photos-tiny-2", 1, 60)


def test_another_question_is_still_refused(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    extract(folder)
    draw(folder / "class_0/new.png", 1)
    with pytest.raises(CacheMismatch, match="dtype is float16 in the cache and float32 in this run"):
        extract(folder, dtype="float32")
    with pytest.raises(CacheMismatch, match="--name NEWNAME"):
        extract(folder, name="photos-tiny")
    assert extract(folder, name="mine").reused == 60


def test_what_is_taken_back_finds_its_cache(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    extract(folder)
    draw(folder / "class_0/new.png", 1)
    extract(folder)
    (folder / "class_0/new.png").unlink()
    assert extract(folder).cache.name == "photos-tiny"
    Image.new("RGB", (8, 8)).save(folder / "class_0/new.png")
    assert extract(folder).cache.name == "photos-tiny-3"
    shutil.rmtree(root / "caches/photos-tiny")
    report = extract(folder)
    assert (report.cache.name, report.encoded, report.reused) == ("photos-tiny-3", 0, 0)
