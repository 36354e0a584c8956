"""A cache in other programs' formats: the same rows, as they read them."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from featcache.cache.reading import Cache
from featcache.commands.export import exported_page
from featcache.errors import CacheError
from featcache.exporting import content as content_file
from featcache.exporting import export as export_file
from featcache.exporting.export import Exported, export_cache
from featcache.exporting.formats import clip_retrieval
from featcache.exporting.formats.formats import ENTRIES, FORMATS
from featcache.extraction.extract import run_extraction
from featcache.extraction.request import Request
from featcache.progress import Silent
from tests.pictures import draw_class_folders


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Of 61 images, one of which cannot be read."""
    home = tmp_path_factory.mktemp("home")
    folder = draw_class_folders(home / "photos", classes=3, per_class=20)
    (folder / "class_1/broken.png").write_bytes(b"no image")
    request = Request(model="tiny", dataset=str(folder), root=home, workers=0, device="cpu", on_error="skip")
    return run_extraction(request, progress=False).cache


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_file, "BLOCK", 7)


def export(cache: Cache, to: str, out: Path, *, overwrite: bool = False) -> Exported:
    return export_cache(cache, to, out, overwrite=overwrite, reporter=Silent())


def readable(cache: Cache, name: str) -> np.ndarray:
    return np.concatenate([getattr(cache[split], name)[cache[split].valid] for split in cache.splits])


@pytest.mark.usefixtures("small_blocks")
def test_npz(cache: Cache, tmp_path: Path) -> None:
    done = export(cache, "npz", tmp_path / "a.npz")
    assert (done.left_out, sum(done.rows.values())) == (1, 60)
    with np.load(done.path, allow_pickle=False) as arrays:
        assert arrays["embeddings"].dtype == np.float16
        assert np.array_equal(arrays["embeddings"], readable(cache, "images"))
        assert np.array_equal(arrays["labels"], readable(cache, "labels"))
        assert arrays["ids"].tolist() == readable(cache, "ids").tolist()
        assert arrays["splits"].tolist() == [s for s in cache.splits for _ in range(done.rows[s])]
        assert tuple(arrays["class_names"]) == cache.class_names
        assert np.array_equal(arrays["text"], cache.text.features, equal_nan=True)
        assert json.loads(str(arrays["featcache"])) == cache.manifest
        assert float(arrays["logit_scale"]) == cache.text.logit_scale


@pytest.mark.usefixtures("small_blocks")
def test_parquet_as_duckdb_polars_and_pandas_read_it(cache: Cache, tmp_path: Path) -> None:
    path = export(cache, "parquet", tmp_path / "a.parquet").path
    images = readable(cache, "images")
    assert np.array_equal(np.array(polars.read_parquet(path)["embeddings"].to_list(), np.float32), images)
    assert np.array_equal(np.stack(pandas.read_parquet(path)["embeddings"]), images)
    rows = duckdb.sql(f"select ids, splits, labels, embeddings from '{path}'").fetchall()
    assert [row[0] for row in rows] == readable(cache, "ids").tolist()
    assert np.array_equal(np.array([row[3] for row in rows], np.float32), images)
    dim = images.shape[1]
    near = f"select ids from '{path}' order by array_cosine_similarity(embeddings::float[{dim}], ?::float[{dim}]) desc"
    found = duckdb.execute(f"{near} limit 1", [images[5].tolist()]).fetchone()
    assert found == (rows[5][0],)
    schema = pq.read_schema(path)
    assert str(schema.field("embeddings").type) == f"fixed_size_list<element: float>[{images.shape[1]}]"
    assert json.loads(schema.metadata[b"class_names"]) == list(cache.class_names)
    assert json.loads(schema.metadata[b"featcache"])["digest"] == cache.digest


@pytest.mark.usefixtures("small_blocks")
def test_safetensors(cache: Cache, tmp_path: Path) -> None:
    path = export(cache, "safetensors", tmp_path / "a.safetensors").path
    with safe_open(path, framework="numpy") as tensors:
        for split in cache.splits:
            valid = cache[split].valid
            assert np.array_equal(tensors.get_tensor(f"{split}.embeddings"), cache[split].images[valid])
            assert np.array_equal(tensors.get_tensor(f"{split}.labels"), cache[split].labels[valid])
            ids = tensors.get_tensor(f"{split}.ids")
            assert [bytes(row).rstrip(b"\0").decode() for row in ids] == cache[split].ids[valid].tolist()
        assert np.array_equal(tensors.get_tensor("text"), cache.text.features, equal_nan=True)
        facts = tensors.metadata()
    assert json.loads(facts["featcache"])["identity"] == cache.manifest["identity"]
    assert json.loads(facts["class_names"]) == list(cache.class_names)


@pytest.mark.usefixtures("small_blocks")
def test_clip_retrieval_in_several_parts(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_retrieval, "MOST_ROWS", 25)
    path = export(cache, "clip-retrieval", tmp_path / "folder").path
    assert sorted(file.name for file in (path / "img_emb").iterdir()) == [f"img_emb_{n}.npy" for n in range(3)]
    rows = np.concatenate([np.load(path / "img_emb" / f"img_emb_{n}.npy") for n in range(3)])
    assert rows.dtype == np.float16
    images = readable(cache, "images")
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    assert np.array_equal(rows, unit.astype(np.float16))
    tables = [pandas.read_parquet(path / "metadata" / f"metadata_{n}.parquet") for n in range(3)]
    assert list(map(len, tables)) == [25, 25, 10]
    table = pandas.concat(tables)
    assert table["ids"].tolist() == readable(cache, "ids").tolist()
    assert all(Path(image).is_file() for image in table["image_path"])
    assert table["caption"].tolist() == [cache.class_names[label] for label in readable(cache, "labels")]


@pytest.mark.parametrize("to", ENTRIES)
def test_what_is_there_stays_unless_it_is_said(cache: Cache, tmp_path: Path, to: str) -> None:
    out = tmp_path / f"out{ENTRIES[to].ending}"
    export(cache, to, out)
    with pytest.raises(CacheError, match="is there already: type --overwrite"):
        export(cache, to, out)
    assert export(cache, to, out, overwrite=True).path == out
    assert [entry.name for entry in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("to", ENTRIES)
def test_half_an_export_is_none(cache: Cache, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write = FORMATS[to]

    def interrupted(content: object, path: Path, told: object) -> None:
        write(content, path, told)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(export_file, "FORMATS", {to: interrupted})
    with pytest.raises(KeyboardInterrupt):
        export(cache, to, out)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_never_replaced(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(CacheError, match="a folder that no export wrote"):
        export(cache, "npz", tmp_path / "mine", overwrite=True)
    with pytest.raises(CacheError, match="there is no folder"):
        export(cache, "npz", tmp_path / "nowhere/a.npz")


def test_the_page_says_what_is_left_out(cache: Cache, tmp_path: Path) -> None:
    lines = "\n".join(exported_page(export(cache, "npz", tmp_path / "a.npz")).lines())
    assert "1 image that could not be read" in lines


def test_rows_are_read_a_block_at_a_time(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_file, "BLOCK", 7)
    blocks = list(content_file.Content(cache).blocks())
    assert max(len(block.ids) for block in blocks) == 7
