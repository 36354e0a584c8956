"""`extract` from image files to arrays: what is stored, what is recognised, what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import featcache
from featcache.cache import plan
from featcache.datasets.load import load_dataset
from featcache.encoders.encoder import Encoder, PendingEmbeddings
from featcache.errors import CacheError, CacheIncomplete, CacheMismatch, DataError, PromptError
from featcache.extraction.extract import ExtractionReport, run_extraction
from featcache.extraction.request import Request
from featcache.images.decode import decode
from featcache.images.resampling import resample
from tests.conftest import ImageFolder
from tests.manifests import made_from


def extract(folder: Path | str, **options: object) -> ExtractionReport:
    defaults = {"model": "tiny", "dataset": str(folder), "workers": 0, "device": "cpu"}
    return run_extraction(Request(**{**defaults, **options}), progress=False)  # type: ignore[arg-type]


def test_every_row_is_what_the_encoder_says_of_that_image(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder(classes=3, per_class=15)
    report = extract(folder, dtype="float32", batch_size=4, workers=2)
    dataset, encoder = load_dataset(str(folder)), Encoder.load("tiny", device="cpu")
    assert report.cache.rows == {split: len(part) for split, part in dataset.splits.items()}
    for split, part in dataset.splits.items():
        cached = report.cache[split]
        assert list(cached.ids) == list(part.ids)
        assert np.array_equal(cached.labels, part.labels)
        for row in range(len(part)):
            pixels = encoder.transform(decode(dataset.reader.read(part.ids[row])))
            # Alone instead of in its batch: the last bits may differ.
            np.testing.assert_allclose(cached.images[row], encoder.encode_images(pixels[None])[0], atol=2e-5)
    assert not np.allclose(np.linalg.norm(report.cache["train"].images, axis=1), 1.0), "embeddings must be raw"


def test_bits_do_not_depend_on_workers_or_shards(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    one = extract(folder, name="one", batch_size=4, views=2).cache
    monkeypatch.setattr(plan, "SECONDS_PER_SHARD", 1e-9)  # one batch a shard
    two = extract(folder, name="two", batch_size=4, views=2, workers=2).cache
    assert one.manifest["plan"]["rows_per_shard"] > two.manifest["plan"]["rows_per_shard"] == 4
    for split in one.splits:
        assert one[split].images.tobytes() == two[split].images.tobytes()
    assert one["train"].views is not None
    assert two["train"].views is not None
    assert one["train"].views.tobytes() == two["train"].views.tobytes()
    assert one["test"].views is None


def test_views_are_augmented_and_each_image_has_its_own(root: Path, image_folder: ImageFolder) -> None:
    train = extract(image_folder(), views=2).cache["train"]
    assert train.views is not None
    assert train.views.shape == (len(train), 2, train.images.shape[1])
    assert not np.array_equal(train.views[:, 0], train.views[:, 1])
    assert not np.array_equal(train.views[:, 0], train.images)


def test_a_finished_cache_is_recognised_without_torch(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    first = extract(folder)
    again = f"""
import sys
from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request
from featcache.verification.verify import verify
report = run_extraction(Request(model="tiny", dataset={str(folder)!r}), progress=False)
assert not {{"torch", "open_clip", "torchvision"}} & set(sys.modules), "a finished cache was not recognised at once"
print(report.encoded, report.resumed)
"""
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True)
    assert done.stdout.split() == ["0", str(first.encoded)], done.stderr


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dtype": "float32"}, "dtype is float16 in the cache and float32 in this run"),
        ({"precision": "bf16"}, "precision is fp32 in the cache and bf16 in this run"),
        ({"batch_size": 8}, "batch_size is 32 in the cache and 8 in this run"),
        ({"views": 1, "name": "photos-tiny"}, "views"),
        ({"splits": ["train"]}, "dataset.rows"),
    ],
)
def test_reopening_with_something_different_names_it(
    root: Path, image_folder: ImageFolder, change: dict[str, object], named: str
) -> None:
    folder = image_folder()
    extract(folder)
    with pytest.raises(CacheMismatch, match=named):
        extract(folder, **change)


def test_another_listing_is_a_difference_where_the_cache_is_named(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    extract(folder)
    Image.new("RGB", (8, 8)).save(folder / "class_0" / "new.png")
    with pytest.raises(CacheMismatch, match="the images or their labels differ"):
        extract(folder, name="photos-tiny")


def test_other_weights_are_a_difference_for_an_unfinished_cache(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    cache = extract(folder).cache
    Path(cache.path, "complete.json").unlink()
    with pytest.raises(CacheIncomplete, match="same `featcache extract`"):
        featcache.open("photos-tiny")
    made_from(cache, lambda identity: identity["encoder"].update(weights_sha256="0" * 64))
    with pytest.raises(CacheMismatch, match="the weights differ"):
        extract(folder)


def test_an_unreadable_image_fails_the_run_and_is_named(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    (folder / "class_0" / "broken.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"class_0/broken\.jpg.*--on-error skip"):
        extract(folder)


def test_an_unreadable_image_keeps_its_row_under_skip(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    whole = extract(folder, name="whole").cache
    (folder / "class_0" / "zzz.jpg").write_bytes(b"\xff\xd8 not really a JPEG")
    report = extract(folder, name="damaged", on_error="skip")
    assert report.skipped == 1
    damaged = report.cache
    for split in damaged.splits:
        cached = damaged[split]
        bad = cached.ids == "class_0/zzz.jpg"
        assert np.array_equal(cached.valid, ~bad)
        assert np.isnan(cached.images[bad]).all()
        assert np.isfinite(cached.images[~bad]).all()
        # By their ids, the readable images have the embeddings they have in the undamaged folder.
        known = {str(name): row for part in whole.splits for name, row in _rows(whole, part)}
        for name, row in zip(cached.ids[~bad], cached.images[~bad], strict=True):
            np.testing.assert_allclose(row, known[str(name)], atol=2e-3)
    entries = [entry for name in damaged.folder.names("bad") for entry in damaged.folder.read_json(f"bad/{name}")]
    assert [entry["id"] for entry in entries] == ["class_0/zzz.jpg"]
    assert entries[0]["reason"]


def _rows(cache: featcache.Cache, split: str) -> list[tuple[str, np.ndarray]]:
    return list(zip(cache[split].ids, cache[split].images, strict=True))


def test_a_run_can_go_on_skipping_after_it_failed(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    (folder / "class_2" / "broken.jpg").write_bytes(b"")
    with pytest.raises(DataError):
        extract(folder)
    assert extract(folder, on_error="skip").skipped == 1


def test_changing_prompts_encodes_only_text(root: Path, image_folder: ImageFolder, tmp_path: Path) -> None:
    folder = image_folder()
    extract(folder)
    templates = tmp_path / "mine.txt"
    templates.write_text("a drawing of a {}.\nthe {}.\n")
    report = extract(folder, templates=templates)
    assert (report.encoded, report.cache.text.name) == (0, "mine")
    assert report.cache.text.features.shape[:2] == (3, 2)
    with pytest.raises(PromptError, match="neither a file nor a prompt set"):
        extract(folder, templates="nothing")


def test_embeddings_too_large_for_float16_are_refused(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = PendingEmbeddings.result
    monkeypatch.setattr(PendingEmbeddings, "result", lambda self: 1e6 * result(self))
    with pytest.raises(CacheError, match="--dtype float32"):
        extract(image_folder())


def test_limit_is_part_of_the_name_and_balanced(root: Path) -> None:
    report = extract("digits", limit=20)
    assert report.cache.name == "digits-tiny-limit20"
    assert report.cache.rows == {"train": 20, "val": 20, "test": 20}
    assert np.bincount(report.cache["train"].labels).tolist() == [2] * 10


def test_the_prompt_set_asked_for_is_the_one_that_readers_get(
    root: Path, image_folder: ImageFolder, tmp_path: Path
) -> None:
    folder = image_folder(per_class=5)
    names = []
    for prompts in ("mine", "other", "mine", None):
        (tmp_path / f"{prompts}.txt").write_text(f"{prompts} {{}}\n")
        names.append(extract(folder, templates=prompts and tmp_path / f"{prompts}.txt").cache.text.name)
    assert names == ["mine", "other", "mine", "mine"]


def test_another_folder_of_the_same_listing_is_refused_and_a_moved_one_is_not(
    root: Path, image_folder: ImageFolder, tmp_path: Path
) -> None:
    first = image_folder("v1/photos", per_class=5)
    extract(first)
    moved = shutil.copytree(first, tmp_path / "elsewhere" / "photos")
    assert extract(moved).encoded == 0
    with pytest.raises(CacheMismatch, match=r"images.location is "):
        extract(image_folder("v2/photos", per_class=5, seed=1))


def test_a_file_url_is_a_folder_of_this_machine(image_folder: ImageFolder, tmp_path: Path) -> None:
    cache = extract(image_folder(per_class=5), root=f"file://{tmp_path}/home").cache
    assert cache.path == str(tmp_path / "home/caches/photos-tiny")


def test_a_name_cannot_leave_its_folder(root: Path) -> None:
    with pytest.raises(CacheError, match="letters, digits"):
        extract("digits", name="../elsewhere")


def test_no_global_random_state_is_touched(root: Path, image_folder: ImageFolder) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # type: ignore[union-attr]
    extract(image_folder(per_class=5), views=1, workers=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tobytes() == before[1]  # type: ignore[union-attr]


def test_pictures_that_a_gpu_resizes_give_the_same_bits(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    by_pillow = extract(folder, name="pillow", views=1).cache
    monkeypatch.setattr("featcache.encoding.pipeline.resampler", lambda device, resizing: resample)
    there = extract(folder, name="there", views=1).cache
    for split in by_pillow.splits:
        assert there[split].images.tobytes() == by_pillow[split].images.tobytes()
    assert there["train"].views.tobytes() == by_pillow["train"].views.tobytes()


def test_a_cache_of_half_precision_by_casts_is_not_continued_by_weights(root: Path, image_folder: ImageFolder) -> None:
    folder = image_folder()
    cache = extract(folder, precision="bf16").cache
    assert cache.encoder["precision_by"] == "weights"
    location = Path(cache.path)
    made_from(cache, lambda identity: identity["encoder"].pop("precision_by"))
    assert extract(folder, precision="bf16").encoded == 0  # finished, it is read as it is
    (location / "complete.json").unlink()
    with pytest.raises(CacheMismatch, match="precision_by is autocast in the cache and weights in this run"):
        extract(folder, precision="bf16")


def test_fast_decoding_is_another_cache_that_says_how_near_it_is(root: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(12):
        file = tmp_path / "photos" / f"class{index % 2}" / f"{index}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        coarse.resize((500, 400), Image.Resampling.BICUBIC).save(file, quality=90)
    exact = extract(tmp_path / "photos").cache
    fast = extract(tmp_path / "photos", decode="fast").cache
    assert (exact.name, fast.name) == ("photos-tiny", "photos-tiny-fast")
    assert fast.encoder["transform_sha256"] != exact.encoder["transform_sha256"]
    near = fast.manifest["cosine_to_exact"]
    assert near["images"] == len(fast["train"])
    assert 0.99 < near["least"] <= near["mean"] <= 1
    assert "cosine_to_exact" not in exact.manifest
    a, b = (np.asarray(cache["train"].images, np.float64) for cache in (exact, fast))
    assert not np.array_equal(a, b)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.mean() == pytest.approx(near["mean"], abs=1e-3)
    with pytest.raises(CacheMismatch, match="decode is fast in the cache and exact in this run"):
        extract(tmp_path / "photos", name="photos-tiny-fast")
    assert extract(tmp_path / "photos", decode="fast").encoded == 0


def test_the_batch_size_measured_is_kept(
    root: Path, image_folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder()
    monkeypatch.setattr("featcache.extraction.agreement.batch_sizes", lambda encoder: {6: 9.0, 12: 8.0})
    first = extract(folder, batch_size="auto").cache
    assert first.manifest["identity"]["batch_size"] == 6
    assert first.manifest["plan"]["batch_sizes"] == {"6": 9.0, "12": 8.0}
    monkeypatch.setattr("featcache.extraction.agreement.batch_sizes", lambda encoder: {7: 9.0})
    Path(first.path, "complete.json").unlink()
    assert extract(folder, batch_size="auto").cache.manifest["identity"]["batch_size"] == 6
    with pytest.raises(DataError, match="--batch-size 'many' given; expected a number, 1 or more or auto"):
        extract(folder, batch_size="many")
