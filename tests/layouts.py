"""The same class folders in other layouts: tars, tables, an image folder with metadata."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SPLITS = ("train", "test")


def images(folder: Path, split: str) -> Iterator[tuple[str, str, bytes]]:
    """(name, class, bytes) of each image below `folder/split`, by name."""
    for path in sorted((folder / split).glob("*/*.png")):
        yield path.stem, path.parent.name, path.read_bytes()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """A tar with these members in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(folder: Path, split: str, *, label: str = "cls") -> dict[str, bytes]:
    """WebDataset's samples: image and `.cls` (the class's number), or `.json` with its name."""
    classes = sorted({name for _, name, _ in images(folder, split)})
    members = {}
    for number, (_, name, content) in enumerate(images(folder, split)):
        members[f"{number:05d}.png"] = content
        members[f"{number:05d}.txt"] = b"a caption"
        if label == "cls":
            members[f"{number:05d}.cls"] = str(classes.index(name)).encode()
        else:
            members[f"{number:05d}.json"] = json.dumps({"key": f"{number:05d}", "label": name, "url": None}).encode()
    return members


def write_shards(folder: Path, out: Path, **how: Any) -> Path:
    """Two tars a split: `train-000.tar`, `train-001.tar`, …; and, for numbers, their names in `classes.txt`."""
    for split in SPLITS:
        members = list(samples(folder, split, **how).items())
        half = len(members) // 6 * 3  # a sample has three files
        for number, part in enumerate((members[:half], members[half:])):
            write_tar(out / f"{split}-{number:03d}.tar", dict(part))
    (out / "classes.txt").write_text("".join(f"{each.name}\n" for each in sorted((folder / "train").iterdir())))
    return out


def image_table(rows: list[tuple[str, str, bytes]], *, classes: list[str] | None = None) -> pa.Table:
    """A table as on the Hugging Face hub: image {bytes, path}, label a ClassLabel where classes are given."""
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if classes is not None:
        features["label"] = {"names": classes, "_type": "ClassLabel"}
    labels = [classes.index(name) if classes is not None else name for _, name, _ in rows]
    pictures = pa.array(
        [{"bytes": content, "path": f"{name}.png"} for name, _, content in rows],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": pictures, "label": pa.array(labels)})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write_tables(folder: Path, out: Path, *, row_group: int = 7) -> Path:
    """`data/train-00000-of-00002.parquet`, …: two files a split."""
    classes = [each.name for each in sorted((folder / "train").iterdir())]
    (out / "data").mkdir(parents=True)
    for split in SPLITS:
        rows = list(images(folder, split))
        half = len(rows) // 2
        for number, part in enumerate((rows[:half], rows[half:])):
            path = out / "data" / f"{split}-{number:05d}-of-00002.parquet"
            pq.write_table(image_table(part, classes=classes), path, row_group_size=row_group)
    return out


def write_metadata(folder: Path, out: Path, kind: str) -> Path:
    """`train/metadata.csv` (or `.jsonl`, `.parquet`), … with the images beside it."""
    for split in SPLITS:
        (out / split).mkdir(parents=True)
        rows = []
        for number, (_, name, content) in enumerate(images(folder, split)):
            (out / split / f"{number}.png").write_bytes(content)
            rows.append({"file_name": f"{number}.png", "label": name})
        path = out / split / f"metadata.{kind}"
        if kind == "csv":
            path.write_text("file_name,label\n" + "".join(f"{row['file_name']},{row['label']}\n" for row in rows))
        elif kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pq.write_table(pa.Table.from_pylist(rows), path)
    return out
