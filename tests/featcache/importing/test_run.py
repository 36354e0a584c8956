"""Embeddings made elsewhere become a cache that says what is not known of them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featcache
from featcache.cache import plan
from featcache.cache.layout import MANIFEST
from featcache.cache.reading import read_manifest
from featcache.cache.writing import CacheStore
from featcache.datasets.listing import complete_splits, make_split
from featcache.encoders.encoder import Encoder
from featcache.errors import CacheMismatch, DataError, ModelError
from featcache.extraction.add_text import add_prompt_set
from featcache.importing import run
from featcache.verification.verify import verify
from tests.featcache.importing.conftest import NAMES, Made, bring, rows

pytestmark = pytest.mark.usefixtures("root")


def save(path: Path, made: Made, **others: Any) -> Path:
    np.savez(path, **made.arrays(**others))
    return path


@pytest.fixture
def source(tmp_path: Path, made: Made) -> Path:
    return save(tmp_path / "mine.npz", made)


def test_rows_labels_text_and_splits_as_for_folders(source: Path, made: Made) -> None:
    report = bring(source)
    cache = report.cache
    numbered = [f"{row:02d}" for row in range(60)]
    assert rows(cache) == {
        image_id: (embedding.tobytes(), label)
        for image_id, embedding, label in zip(numbered, made.embeddings, made.labels.tolist(), strict=True)
    }
    as_folders, origin = complete_splits(
        {"train": make_split(zip(numbered, made.labels.tolist(), strict=True))}, 0, carve_val=False
    )
    assert {split: list(cache[split].ids) for split in cache.splits} == {
        name: list(part.ids) for name, part in as_folders.items()
    }
    assert cache.manifest["provenance"]["split"] == origin
    assert (cache.class_names, cache.dataset["name"]) == (NAMES, "mine")
    assert np.array_equal(cache.text.features[:, 0], made.text)
    assert cache.text.logit_scale == 50.0
    assert (report.written, report.found, report.skipped) == (60, 0, 0)
    assert (report.encoder, list(report.not_known)) == ("unknown", ["encoder", "transform", "precision", "prompts"])
    assert cache.caveat == f"embeddings imported from {source.name} (not known: encoder, transform, precision, prompts)"
    found = verify(cache.folder)
    assert (found.problems, found.imported, found.sampled) == ([], True, 0)


def test_the_same_again_writes_nothing_and_other_numbers_are_refused(source: Path, made: Made) -> None:
    bring(source)
    again = bring(source)
    assert (again.written, again.found) == (0, 60)
    made.embeddings[7, 3] += 1
    save(source, made)
    with pytest.raises(CacheMismatch, match=r"the embeddings differ; type --name NEWNAME"):
        bring(source)
    made.embeddings[7, 3] -= 1
    for others, message in (
        ({"text": made.text + 1}, "the text embeddings differ; type --name NEWNAME"),
        ({"logit_scale": np.array(7.0)}, "the logit_scale differs; type --name NEWNAME"),
    ):
        save(source, made, **others)
        with pytest.raises(CacheMismatch, match=message):
            bring(source)
    save(source, made)
    assert bring(source).written == 0


def test_parts_of_several_precisions_keep_that_of_each(tmp_path: Path, made: Made) -> None:
    narrow = made.embeddings.astype(np.float16)
    arrays = made.arrays(embeddings=None, labels=None)
    of_splits = {"train": (narrow, made.labels), "test": (made.embeddings + 1e-4, made.labels)}
    for split, (embeddings, labels) in of_splits.items():
        arrays |= {f"{split}.embeddings": embeddings, f"{split}.labels": labels}
    np.savez(tmp_path / "mixed.npz", **arrays)
    cache = bring(tmp_path / "mixed.npz").cache
    assert cache.manifest["identity"]["dtype"] == "float32"
    assert np.array_equal(cache["train"].images, narrow.astype(np.float32))
    assert np.array_equal(cache["test"].images, made.embeddings + 1e-4)


@pytest.mark.parametrize("scale", [-3.0, 0.0, np.nan, np.inf])
def test_what_cosines_cannot_be_multiplied_with_is_refused(scale: float, tmp_path: Path, made: Made) -> None:
    with pytest.raises(DataError, match=r"its logit_scale is .*, expected a number above 0: type --logit-scale"):
        bring(save(tmp_path / "x.npz", made, logit_scale=np.array(scale)))
    with pytest.raises(DataError, match=r"--logit-scale .* given; expected a number above 0"):
        bring(save(tmp_path / "x.npz", made, logit_scale=None), logit_scale=scale)


def test_what_was_stopped_goes_on_and_what_was_repaired_is_written_again(
    source: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH", 4)
    monkeypatch.setattr(plan, "SECONDS_PER_SHARD", 1e-9)
    write, written = CacheStore.write, []

    def stops(self: CacheStore, result: Any) -> None:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(result.shard)
        write(self, result)

    monkeypatch.setattr(CacheStore, "write", stops)
    with pytest.raises(KeyboardInterrupt):
        bring(source)
    monkeypatch.setattr(CacheStore, "write", write)
    report = bring(source)
    assert (report.written, report.found) == (40, 20)
    expected = rows(report.cache)
    assert {row: embedding for row, (embedding, _) in expected.items()} == {
        f"{row:02d}": embedding.tobytes() for row, embedding in enumerate(made.embeddings)
    }
    chunk = next((Path(report.cache.path) / "train" / "images" / "c").rglob("0/0"))
    chunk.write_bytes(chunk.read_bytes()[:-9] + b"x" * 9)
    found = verify(report.cache.folder, repair=True)
    assert found.repaired
    assert found.made_by == "featcache import"
    mended = bring(source)
    assert mended.written == 4
    assert rows(mended.cache) == expected


def test_normalised_rows_are_told(tmp_path: Path, made: Made) -> None:
    unit = made.embeddings / np.linalg.norm(made.embeddings, axis=1, keepdims=True)
    for dtype in (np.float16, np.float32, np.float64):
        path = save(tmp_path / f"{dtype.__name__}.npz", made, embeddings=unit.astype(dtype))
        report = bring(path)
        assert report.normalised
        assert report.cache.caveat.endswith(", normalised before they came")
        assert report.cache.manifest["identity"]["dtype"] == ("float16" if dtype is np.float16 else "float32")
    assert not bring(save(tmp_path / "raw.npz", made)).normalised


def test_rows_that_say_nothing_are_named_or_left_empty(tmp_path: Path, made: Made) -> None:
    made.embeddings /= np.linalg.norm(made.embeddings, axis=1, keepdims=True)
    made.embeddings[5] = 0
    made.embeddings[17, 2] = np.nan
    path = save(tmp_path / "bad.npz", made, ids=np.array([f"photos/{row}.jpg" for row in range(60)]))
    with pytest.raises(DataError) as caught:
        bring(path)
    assert str(caught.value) == (
        f"{path}: 2 rows say nothing: row 5 (photos/5.jpg): the row is all zero, row 17 (photos/17.jpg): the row holds "
        "NaN or infinity; mend them, or type --on-error skip to leave them empty"
    )
    report = bring(path, on_error="skip")
    assert report.skipped == 2
    assert report.normalised  # all that say something
    assert verify(report.cache.folder).problems == []
    empty = {
        image_id
        for split in report.cache.splits
        for image_id, valid in zip(report.cache[split].ids, report.cache[split].valid, strict=True)
        if not valid
    }
    assert empty == {"photos/5.jpg", "photos/17.jpg"}


def test_an_encoder_is_taken_at_its_word_and_makes_text(tmp_path: Path, image_folder: Any) -> None:
    made = featcache.extract("tiny", str(image_folder()), dtype="float32", device="cpu", progress=False)
    arrays = {f"{split}_embeddings": made[split].images for split in made.splits}
    arrays |= {f"{split}_labels": made[split].labels for split in made.splits}
    path = tmp_path / "tiny.npz"
    np.savez(path, class_names=np.array(made.class_names), **arrays)
    with pytest.raises(DataError, match=r"has no text embeddings: type --array text=NAME .* or --model"):
        bring(path)
    report = bring(path, model="tiny", device="cpu")
    cache = report.cache
    assert (report.encoder, list(report.not_known)) == ("said", ["transform", "precision"])
    assert cache.encoder["weights_sha256"] == made.encoder["weights_sha256"]
    assert cache.encoder["origin"] == "said"
    assert np.array_equal(cache.text.features, made.text.features)
    assert cache.text.prompts == made.text.prompts
    assert all(np.array_equal(cache[split].images, made[split].images) for split in made.splits)
    prompts = tmp_path / "blurry.txt"
    prompts.write_text("a blurry photo of a {}.\n")
    add_prompt_set(cache.folder, str(prompts), name=None, default=True, device="cpu")
    assert cache.text.prompts[0][0].startswith("a blurry photo of a class")


def as_exported(cache: featcache.Cache, out: Path) -> tuple[Path, Path]:
    """A cache as `featcache export` writes it to npz and Parquet."""
    images = np.concatenate([cache[split].images for split in cache.splits])
    arrays = {"labels": np.concatenate([cache[split].labels for split in cache.splits])}
    arrays["splits"] = np.concatenate([np.full(len(cache[split]), split) for split in cache.splits])
    facts = {
        "featcache": json.dumps(cache.manifest),
        "class_names": json.dumps(cache.class_names),
        "prompts": json.dumps(cache.text.prompts),
        "logit_scale": repr(cache.text.logit_scale),
    }
    in_arrays = {name: np.array(fact) for name, fact in facts.items()} | {
        "class_names": np.array(cache.class_names),
        "text": cache.text.features,
        "logit_scale": np.array(cache.text.logit_scale),
    }
    np.savez(out / "export.npz", embeddings=images, **arrays, **in_arrays)
    table = pa.table({"embeddings": list(images), **arrays})
    pq.write_table(table.replace_schema_metadata(facts), out / "export.parquet")
    return out / "export.npz", out / "export.parquet"


def test_an_export_of_a_cache_keeps_its_encoder_and_prompts(tmp_path: Path, image_folder: Any) -> None:
    made = featcache.extract("tiny", str(image_folder()), device="cpu", progress=False)
    for path in as_exported(made, tmp_path):
        report = bring(path, name=path.suffix[1:], device="cpu")
        cache = report.cache
        assert (report.encoder, list(report.not_known)) == ("recorded", [])
        assert (cache.encoder, cache.class_names, cache.rows) == (made.encoder, made.class_names, made.rows)
        assert np.array_equal(cache.text.features, made.text.features)
        assert (cache.text.prompts, cache.text.logit_scale) == (made.text.prompts, made.text.logit_scale)
        assert all(np.array_equal(cache[split].images, made[split].images) for split in made.splits)


def test_an_export_of_an_imported_cache_knows_no_more_than_that(source: Path, tmp_path: Path) -> None:
    made = bring(source).cache
    npz, parquet = as_exported(made, tmp_path)
    report = bring(npz)
    assert (report.encoder, list(report.not_known)) == ("unknown", ["encoder", "transform", "precision", "prompts"])
    with pytest.raises(DataError, match="has no text embeddings"):
        bring(parquet)


def test_nothing_is_encoded_by_an_encoder_that_nobody_named(source: Path, tmp_path: Path) -> None:
    cache = bring(source).cache
    prompts = tmp_path / "p.txt"
    prompts.write_text("a {}\n")
    with pytest.raises(ModelError, match=r"nobody said which encoder made them: type --model NAME"):
        add_prompt_set(cache.folder, str(prompts), name=None, default=True, device="cpu")


def test_an_encoder_of_another_width_is_refused(source: Path) -> None:
    with pytest.raises(DataError, match=r"embeddings of 8 numbers, and .*tiny gives 128: name the encoder"):
        bring(source, model="tiny", device="cpu")


@pytest.mark.parametrize(
    ("others", "asked", "message"),
    [
        ({"embeddings": np.ones(60, np.float32)}, {}, r"embeddings is \(60,\) float32: expected embeddings \(N, D\)"),
        ({"embeddings": np.ones((60, 2, 4), np.float32)}, {}, r"embeddings is \(60, 2, 4\) float32: expected"),
        ({"labels": np.arange(59) % 3}, {}, "labels has 59 rows and the embeddings have 60"),
        ({"ids": np.arange(61)}, {}, "ids has 61 rows and the embeddings have 60"),
        ({"labels": np.r_[np.arange(59) % 3, 3]}, {}, r"label of row 59 is 3, and there are 3 class names \(1 of 60"),
        ({"labels": np.r_[np.arange(59) % 3, -2]}, {}, "label of row 59 is -2"),
        ({"labels": np.r_[np.arange(59) % 3, 0.5]}, {}, "label of row 59 is 0.5: expected whole numbers"),
        ({"labels": np.r_[np.arange(59) % 3, np.inf]}, {}, "label of row 59 is inf: expected whole numbers"),
        ({"labels": np.eye(3)[np.arange(60) % 3]}, {}, r"labels is \(60, 3\) float64: .*labels.argmax\(1\)"),
        ({"labels": np.array(["ant", "bee", "owl"] * 20)}, {}, "label 'owl', which is none of its 3 class names"),
        ({"labels": np.array([None] * 60)}, {}, "labels in .* is an array of Python objects, which only pickle reads"),
        ({"embeddings": np.array([[None]] * 60)}, {}, "embeddings in .* is an array of Python objects"),
        ({"ids": np.array(["a"] * 60)}, {}, "has the id a twice: type --array ids=none"),
        ({"ids": np.array([""] + ["a"] * 59)}, {}, "has no id in row 0: type --array ids=none"),
        ({"text": np.ones((4, 8), np.float32)}, {}, r"text is \(4, 8\) float32: expected \(3, 8\)"),
        ({"text": np.zeros((3, 8), np.float32)}, {}, "text is zero or NaN for the class 'ant'"),
        ({"splits": np.array(["train", "fold2"] * 30)}, {}, "splits of row 1 is 'fold2': expected train, val or test"),
        ({"splits": np.arange(60) % 2}, {}, "splits of row 0 is .*0.*: expected train, val or test"),
        ({"splits": np.array(["val", "test"] * 30)}, {}, 'only val, test in the data set: call one split "train"'),
        ({"class_names": np.array(["ant", "bee", "Bee"])}, {}, 'class "Bee" twice'),
        ({"text": None}, {}, "has no text embeddings: type --array text=NAME"),
        ({}, {"arrays": {"embeddings": "gone"}}, "embeddings=gone: neither an array .* it holds embeddings"),
        ({}, {"arrays": {"embedings": "x"}}, "--array embedings=…: expected one of embeddings, labels"),
        ({}, {"arrays": {"dev.labels": "x"}}, "--array dev.labels=…: expected one of"),
        ({}, {"split": "dev"}, "--split dev given; expected train, val, test"),
        ({}, {"templates": "x.txt"}, "--templates needs the encoder that made the embeddings: type --model"),
        ({}, {"logit_scale": -1.0}, "--logit-scale -1 given; expected a number above 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    others: dict[str, Any], asked: dict[str, Any], message: str, tmp_path: Path, made: Made
) -> None:
    path = tmp_path / "x.npz"
    arrays = made.arrays(**others)
    pickled = {name: array for name, array in arrays.items() if array.dtype.hasobject}
    np.savez(path, allow_pickle=bool(pickled), **arrays)
    with pytest.raises(DataError, match=message) as caught:
        bring(path, **asked)
    assert "\n" not in str(caught.value)
    assert not featcache.list_caches()


def test_splits_of_the_source_and_rows_without_a_label(tmp_path: Path, made: Made) -> None:
    labels = made.labels.astype(float)
    labels[[0, 30]] = np.nan
    words = np.array(["Train"] * 30 + ["valid"] * 10 + ["test"] * 20)
    cache = bring(save(tmp_path / "s.npz", made, labels=labels, splits=words)).cache
    assert cache.rows == {"train": 30, "val": 10, "test": 20}
    assert [cache[split].labels.tolist().count(-1) for split in cache.splits] == [1, 1, 0]
    made_here = bring(save(tmp_path / "m.npz", made, labels=labels)).cache
    assert sum(made_here.rows.values()) == 60
    assert made_here["train"].labels.tolist().count(-1) == 2
    assert made_here["train"].ids.tolist() == sorted(made_here["train"].ids.tolist())
    assert bring(save(tmp_path / "t.npz", made), split="test").cache.rows == {"test": 60}


def test_only_few_rows_are_in_memory(tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ROWS_PER_SECOND", 100.0)
    count, dim = 200_000, 128
    file = tmp_path / "big.npy"
    mapped = np.lib.format.open_memmap(file, "w+", np.float32, (count, dim))
    mapped[:] = np.arange(1, 1 + dim, dtype=np.float32)
    mapped.flush()
    np.save(tmp_path / "y.npy", (np.arange(count) % 3).astype(np.int8))
    np.save(tmp_path / "t.npy", np.ones((3, dim), np.float32))
    arrays = {"labels": str(tmp_path / "y.npy"), "text": str(tmp_path / "t.npy")}
    bring(save(tmp_path / "small.npz", made))  # imports what the first one imports
    tracemalloc.start()
    report = bring(file, arrays=arrays, split="train")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.written == count
    assert peak < count * dim * 4 / 2  # of 102 MB; a shard is held, and labels and ids take some


def test_the_manifest_is_read_back(source: Path) -> None:
    cache = bring(source).cache
    assert read_manifest(cache.folder) == cache.manifest
    assert json.loads((Path(cache.path) / MANIFEST).read_text())["identity"]["encoder"]["quick_gelu"] is None


def test_texts_may_be_many_a_class_or_turned(tmp_path: Path, made: Made) -> None:
    several = np.stack([made.text, 2 * made.text], axis=1)
    several[1, 1] = np.nan
    cache = bring(save(tmp_path / "several.npz", made, text=several)).cache
    assert np.array_equal(cache.text.features, several, equal_nan=True)
    assert [len(prompts) for prompts in cache.text.prompts] == [2, 1, 2]
    turned = bring(save(tmp_path / "turned.npz", made, text=made.text.T, logit_scale=None))
    assert np.array_equal(turned.cache.text.features[:, 0], made.text)
    assert turned.cache.text.logit_scale == 100.0
    assert "text: text is (D, C), so it was turned" in turned.told


def test_the_encoder_is_not_loaded_where_nobody_asks_for_it(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "load", None)
    assert bring(source).written == 60
