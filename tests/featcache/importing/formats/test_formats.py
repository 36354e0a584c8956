"""Whatever the format, the same arrays make the same cache; what is damaged or a pickle is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from featcache.errors import DataError
from featcache.importing.formats.arrays import BLOCK
from featcache.importing.formats.formats import FORMATS, open_arrays
from tests.featcache.importing.conftest import NAMES, Made, bring, rows

pytestmark = pytest.mark.usefixtures("root")
Write = Callable[[Made, Path], Path]


def ids() -> np.ndarray:
    return np.array([f"é/{row}.jpg" for row in range(60)])


def npz(made: Made, out: Path) -> Path:
    np.savez(out / "x.npz", ids=ids(), **made.arrays())
    return out / "x.npz"


def compressed(made: Made, out: Path) -> Path:
    others = {"embeddings": np.asfortranarray(made.embeddings), "labels": made.labels.astype(np.uint8)}
    np.savez_compressed(out / "x.npz", ids=ids(), **made.arrays(**others))
    return out / "x.npz"


def npys(made: Made, out: Path) -> Path:
    for name, array in made.arrays(ids=ids(), class_names=None).items():
        np.save(out / f"{name}.npy", array)
    (out / "class_names.txt").write_text("\n".join(NAMES))
    return out


def npy(made: Made, out: Path) -> Path:
    return npys(made, out) / "embeddings.npy"


def table(made: Made, **columns: Any) -> pa.Table:
    facts = {"class_names": json.dumps(NAMES), "logit_scale": "50"}
    mine = {"embeddings": list(made.embeddings), "labels": made.labels, "ids": ids()}
    return pa.table({**mine, **columns}).replace_schema_metadata(facts)


def parquet(made: Made, out: Path) -> Path:
    pq.write_table(table(made), out / "x.parquet", row_group_size=7)
    return out / "x.parquet"


def fixed_lists(made: Made, out: Path) -> Path:
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(made.embeddings.ravel()), 8)
    words = pa.array([NAMES[label] for label in made.labels]).dictionary_encode()
    pq.write_table(table(made, embeddings=fixed, labels=words), out / "x.parquet")
    return out / "x.parquet"


def parquets(made: Made, out: Path) -> Path:
    whole = table(made)
    for number, part in enumerate((whole[:25], whole[25:])):
        pq.write_table(part, out / f"part-{number}.parquet")
    return out


def safetensors(made: Made, out: Path) -> Path:
    padded = np.array([name.encode() for name in ids().tolist()])
    tensors = made.arrays(ids=padded.view(np.uint8).reshape(60, -1), class_names=None, logit_scale=None)
    save_file(tensors, out / "x.safetensors", metadata={"class_names": json.dumps(NAMES), "logit_scale": "50"})
    return out / "x.safetensors"


def clip_retrieval(made: Made, out: Path) -> Path:
    (out / "img_emb").mkdir()
    (out / "metadata").mkdir()
    for number in range(12):  # 10 comes after 9
        part = slice(5 * number, 5 * number + 5)
        np.save(out / "img_emb" / f"img_emb_{number}.npy", made.embeddings[part])
        columns = {"image_path": ids()[part], "label": made.labels[part], "caption": ["…"] * 5}
        pq.write_table(pa.table(columns), out / "metadata" / f"metadata_{number}.parquet")
    return out


WRITERS: list[Write] = [
    npz,
    compressed,
    npys,
    npy,
    parquet,
    fixed_lists,
    parquets,
    safetensors,
    clip_retrieval,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_format_makes_the_same_cache(write: Write, made: Made, tmp_path: Path) -> None:
    out = tmp_path / "source"
    out.mkdir()
    path = write(made, out)
    beside = tmp_path / "text.npy"
    np.save(beside, made.text)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    chosen = {} if write in (npz, compressed, npys, safetensors) else {"text": str(beside)}
    if write is clip_retrieval:
        chosen["class_names"] = str(tmp_path / "names.txt")
    if write is npy:
        chosen |= {name: str(out / f"{name}.npy") for name in ("labels", "ids")}
        chosen["class_names"] = str(out / "class_names.txt")
    cache = bring(path, arrays=chosen).cache
    named = zip(ids().tolist(), made.embeddings, made.labels.tolist(), strict=True)
    assert rows(cache) == {image_id: (embedding.tobytes(), label) for image_id, embedding, label in named}
    assert cache.class_names == NAMES
    assert np.array_equal(cache.text.features[:, 0], made.text)


def test_every_format_is_written_here(made: Made, tmp_path: Path) -> None:
    found = set()
    for write in WRITERS:
        out = tmp_path / write.__name__
        out.mkdir()
        found.add(open_arrays(write(made, out))[0])
    assert found == set(FORMATS)


def test_half_precisions_keep_their_bits(made: Made, tmp_path: Path) -> None:
    whole = {name: torch.from_numpy(array) for name, array in made.arrays(class_names=None).items()}
    for dtype, stored in ((torch.float16, "float16"), (torch.bfloat16, "float32")):
        halves = whole["embeddings"].to(dtype)
        save_torch(whole | {"embeddings": halves}, tmp_path / "h.safetensors")
        cache = bring(tmp_path / "h.safetensors", name=stored, arrays={"class_names": "none"}).cache
        assert cache.manifest["identity"]["dtype"] == stored
        assert {row[0] for row in rows(cache).values()} == {row.tobytes() for row in halves.float().numpy()}


def test_blocks_are_bounded(tmp_path: Path, made: Made) -> None:
    count = BLOCK + 5
    pq.write_table(pa.table({"x": [[1.0, 2.0]] * count}), tmp_path / "x.parquet")
    np.savez_compressed(tmp_path / "x.npz", x=np.ones((count, 2)))
    for name in ("x.parquet", "x.npz"):
        column = open_arrays(tmp_path / name)[1].columns["x"]
        sizes = [len(block) for block in column.blocks()]
        assert sum(sizes) == count == len(column)
        assert max(sizes) <= BLOCK


def damage(path: Path, out: Path) -> Path:
    broken = out / f"broken{path.suffix}"
    content = path.read_bytes()
    broken.write_bytes(content[: len(content) // 3])
    return broken


@pytest.mark.parametrize("write", [npz, npy, parquet, safetensors], ids=lambda write: write.__name__)
def test_a_cut_file_is_told_in_a_line(write: Write, made: Made, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"broken.*: write it again") as caught:
        bring(damage(write(made, tmp_path), tmp_path))
    assert "\n" not in str(caught.value)


def test_a_zip_whose_list_leads_nowhere_is_told(made: Made, tmp_path: Path) -> None:
    file = npz(made, tmp_path)
    content = bytearray(file.read_bytes())
    entry = content.rfind(b"PK\x01\x02")
    content[entry + 42 : entry + 46] = (2**31).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz is no \.npz that can be read .*: write it again"):
        open_arrays(file)


def test_what_is_no_format_is_told(tmp_path: Path) -> None:
    for name, message in (("x.pt", "is a pickle, which runs what is in it"), ("x.txt", "holds no embeddings")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DataError, match=message):
            open_arrays(tmp_path / name)
    with pytest.raises(DataError, match=r"does not exist: give clip-retrieval's folder"):
        open_arrays(tmp_path / "gone.npz")


def test_a_missing_row_of_a_list_is_nan_and_an_odd_one_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [[1.0, 2.0], None, [3.0, 4.0]]}), tmp_path / "x.parquet")
    (block,) = open_arrays(tmp_path / "x.parquet")[1].columns["x"].blocks()
    assert np.array_equal(block, [[1, 2], [np.nan, np.nan], [3, 4]], equal_nan=True)
    pq.write_table(pa.table({"x": [True, None, False]}), tmp_path / "x.parquet")
    (block,) = open_arrays(tmp_path / "x.parquet")[1].columns["x"].blocks()
    assert np.array_equal(block, [1, np.nan, 0], equal_nan=True)
    pq.write_table(pa.table({"x": [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="1 numbers in row 1 and 2 in the first"):
        list(open_arrays(tmp_path / "x.parquet")[1].columns["x"].blocks())


def test_parts_of_clip_retrieval_that_do_not_fit_are_refused(made: Made, tmp_path: Path) -> None:
    out = clip_retrieval(made, tmp_path)
    np.save(out / "img_emb" / "img_emb_3.npy", made.embeddings[:4])
    with pytest.raises(DataError, match=r"img_emb_3\.npy has 4 rows and metadata_3\.parquet 5"):
        open_arrays(out)
    (out / "metadata" / "metadata_3.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks the metadata of img_emb_3\.npy"):
        open_arrays(out)


def test_folders_of_ids_are_labels_and_words_of_files_splits(made: Made, tmp_path: Path) -> None:
    folders = np.array([f"/data/{NAMES[label]}/{row}.jpg" for row, label in enumerate(made.labels)])
    whole = table(made, ids=folders).drop_columns(["labels"])
    (tmp_path / "parts").mkdir()
    for name, part in (("train", whole[:40]), ("test", whole[40:])):
        pq.write_table(part, tmp_path / "parts" / f"{name}.parquet")
    np.save(tmp_path / "t.npy", made.text)
    cache = bring(tmp_path / "parts", arrays={"labels": "folders", "text": str(tmp_path / "t.npy")}, name="f").cache
    assert cache.rows == {"train": 40, "test": 20}
    assert cache["train"].labels.tolist() == made.labels[:40].tolist()
