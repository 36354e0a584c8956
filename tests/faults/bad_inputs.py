"""Bad inputs, made by rules and fixed seeds: images, archives, tables and folders such as people have.

`images()` gives files by their names; each of `DATASETS` makes something that is given as `--dataset`.
"""

from __future__ import annotations

import csv
import io
import os
import random
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

SEED = 12
SUFFIXES = {
    "JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "PPM": "ppm",
    "AVIF": "avif",
}  # fmt: skip
Make = Callable[[Path], Path]


def encoded(form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A picture of noise in a format and mode."""
    rng = np.random.default_rng(SEED)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of these chunks behind its header, whose checksums are right."""
    every = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in every
    )


@cache
def images() -> dict[str, bytes]:
    """Files that end as images do, by their names: damaged, too large, of odd modes, no images, of odd names."""
    rng = random.Random(SEED)
    files: dict[str, bytes] = {}
    for form, suffix in SUFFIXES.items():
        whole = encoded(form)
        for share in (0.1, 0.5, 0.95):
            files[f"{form}-cut-at-{share}.{suffix}"] = whole[: int(len(whole) * share)]
        flipped = bytearray(whole)
        for _ in range(8):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        files[f"{form}-flipped.{suffix}"] = bytes(flipped)
        files[f"{form}-head-of-noise.{suffix}"] = rng.randbytes(24) + whole[24:]
    pixels = zlib.compress(bytes(10_000))
    files |= {
        "deep.png": png(4, 4, (b"IDAT", zlib.compress(bytes([0, *range(8)] * 4))), depth=16, colour=0),
        "fractions.tif": _float_tiff(),
        "integers.tif": _saved(Image.new("I", (20, 20), 70_000), "TIFF"),
        "cmyk.jpg": encoded("JPEG", "CMYK"),
        "lab.tif": encoded("TIFF", "LAB"),
        "grey-alpha.png": encoded("PNG", "LA"),
        "bits.png": encoded("PNG", "1"),
        "palette.gif": encoded("GIF", "P", transparency=3),
        "bomb-claimed.png": png(60_000, 60_000, (b"IDAT", pixels)),
        "bomb-claimed.gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0",
        "bomb-real.png": png(30_000, 30_000, (b"IDAT", zlib.compress(bytes(30_000_000), 1)), depth=1, colour=0),
        "bomb-text.png": png(2, 2, (b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000), 1)), (b"IDAT", pixels)),
        "bomb-profile.png": png(2, 2, (b"iCCP", b"a\0\0" + zlib.compress(bytes(80_000_000), 1)), (b"IDAT", pixels)),
        "line.png": encoded("PNG", size=(3000, 1)),
        "no-pixels.png": png(0, 5, (b"IDAT", pixels)),
        "no-data.png": png(5, 5),
        "empty.jpg": b"",
        "a-byte.jpg": b"\xff",
        "text.png": b"not an image\n",
        "page.jpg": b"<html><body>404</body></html>",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "paper.png": b"%PDF-1.7\n",
        "archive.jpg": b"PK\x03\x04" + bytes(60),
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "noise.png": rng.randbytes(5000),
        "zeros.bmp": bytes(5000),
        "line\nbreak.png": b"",
        "\x1b[31mred.png": b"",
        "=1+1.png": b"",
        "-rf.png": b"",
        "\u202egnp.exe.png": b"",
        "\N{GRINNING FACE}" * 20 + ".png": b"",
        "a" * 240 + ".png": b"",
    }
    return files


def _saved(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def _float_tiff() -> bytes:
    return _saved(Image.fromarray(np.random.default_rng(SEED).random((20, 20), dtype=np.float32)), "TIFF")


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def good(*classes: str) -> dict[str, bytes]:
    """Four images of each class."""
    return {f"{name}/{number}.png": encoded() for name in classes or ("a", "b") for number in range(4)}


def odd_files(folder: Path) -> Path:
    """What is called as images are and is no file."""
    put(folder, good())
    os.mkfifo(folder / "a/pipe.png")
    (folder / "a/folder.png").mkdir()
    (folder / "a/dangling.png").symlink_to("nowhere")
    (folder / "b/itself.png").symlink_to("itself.png")
    here = os.getcwd()
    os.chdir(folder / "b")  # the path of a socket has 107 letters at most
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket.png")
    finally:
        os.chdir(here)
    (folder / "b/device.png").symlink_to("/dev/zero")
    return folder


def _linked(place: str, target: str) -> Make:
    def make(folder: Path) -> Path:
        put(folder, good())
        (folder / place).symlink_to(target)
        return folder

    return make


def _not_utf8(folder: Path) -> Path:
    put(folder, good())
    (Path(os.fsdecode(os.fsencode(folder / "a") + b"/\xff.png"))).write_bytes(encoded())
    return folder


def _of(files: Mapping[str, bytes], given: str = "") -> Make:
    return lambda folder: put(folder, files) / given


def _zip(
    files: Mapping[str, bytes], change: Callable[[bytes], bytes] = bytes, method: int = zipfile.ZIP_DEFLATED
) -> Make:
    def make(folder: Path) -> Path:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return put(folder, {"set.zip": change(buffer.getvalue())}) / "set.zip"

    return make


def _tar(files: Mapping[str, bytes], change: Callable[[bytes], bytes] = bytes, **infos: dict[str, object]) -> Make:
    def make(folder: Path) -> Path:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            for name, fields in infos.items():
                info = tarfile.TarInfo(f"a/{name}.png")
                for field, value in fields.items():
                    setattr(info, field, value)
                tar.addfile(info)
        return put(folder, {"set.tar": change(buffer.getvalue())}) / "set.tar"

    return make


def _table(content: str | bytes, suffix: str = ".csv") -> Make:
    raw = content.encode() if isinstance(content, str) else content
    return _of({**good(), f"table{suffix}": raw}, f"table{suffix}")


def _rows(*more: str) -> str:
    rows = [f"{name}/{number}.png,{name}" for name in "ab" for number in range(4)]
    return "\n".join(["path,label", *rows, *more, ""])


def _field(content: str) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(["a/0.png", content])
    return "path,label\n" + out.getvalue()


def _flip(at: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]


_SAMPLES = {f"{n}.{end}": body for n in range(6) for end, body in (("png", encoded()), ("cls", b"01"[n % 2 :][:1]))}

DATASETS: dict[str, Make] = {
    "folder-of-odd-files": odd_files,
    "folder-empty": lambda folder: put(folder, {}),
    "folder-without-classes": _of({"1.png": encoded()}),
    "folder-of-one-class": _of(good("only")),
    "folder-with-an-empty-class": _of({**good(), "c/.keep": b""}),
    "folder-with-a-loop": _linked("a/again", ".."),
    "folder-with-a-link-to-itself": _linked("c", "c"),
    "folder-with-a-link-to-all": _linked("c", "/proc/self/task"),
    "folder-of-bytes": _not_utf8,
    "folder-with-a-class-twice": _of(good("a_b", "a b")),
    "folder-with-a-class-of-marks": _of(good("a", "---")),
    "folder-with-escapes-as-a-class": _of(good("a", "\x1b[2Jb")),
    "folder-that-is-deep": _of({"/".join("d" * 200) + "/1.png": encoded(), **good()}),
    "folder-only-of-test": _of({f"test/{name}": body for name, body in good().items()}),
    "folder-of-other-files": _of({"a/1.pdf": b"%PDF", "b/1.svg": b"<svg/>"}),
    "folder-with-bad-metadata": _of({**good(), "metadata.csv": b"\xff\xfefile_name,label\n"}),
    "folder-with-cut-metadata": _of({**good(), "metadata.jsonl": b'{"file_name": "a/0.png", "label": '}),
    "folder-with-lists-as-metadata": _of({**good(), "metadata.jsonl": b'{"file_name": [1], "label": {}}\n["label"]'}),
    "folder-with-nested-metadata": _of({**good(), "metadata.jsonl": b"[" * 100_000}),
    "device": lambda folder: Path("/dev/null"),
    "nothing": lambda folder: folder / "nothing",
    "zip-empty": _of({"set.zip": b""}, "set.zip"),
    "zip-of-text": _of({"set.zip": b"no zip"}, "set.zip"),
    "zip-without-members": _zip({}),
    "zip-cut": _zip(good(), lambda raw: raw[: len(raw) // 2]),
    "zip-flipped": _zip(good(), _flip(600)),
    "zip-stored-and-flipped": _zip(good(), _flip(600), zipfile.ZIP_STORED),
    "zip-with-a-bomb": _zip({**good(), "a/bomb.png": bytes(270_000_000)}),
    "zip-said-to-be-encrypted": _zip(good(), lambda raw: raw.replace(b"\x14\x03\x14\0\0", b"\x14\x03\x14\0\1")),
    "zip-of-an-unknown-method": _zip(good(), lambda raw: raw.replace(b"\x08\0", b"\x63\0")),
    "zip-with-names-that-lead-out": _zip({**good(), "/etc/x.png": encoded(), "../../x.png": encoded()}),
    "zip-with-backslashes": _zip({name.replace("/", "\\"): body for name, body in good().items()}),
    "zip-of-a-zip": _zip({"a/inner.zip": b"PK", "b/inner.zip": b"PK"}),
    "tar-empty": _of({"set.tar": b""}, "set.tar"),
    "tar-of-noise": _of({"set.tar": random.Random(SEED).randbytes(4096)}, "set.tar"),
    "tar-cut": _tar(good(), lambda raw: raw[: len(raw) // 3]),
    "tar-flipped": _tar(good(), _flip(3)),
    "tar-compressed": _of({"set.tar.gz": b"\x1f\x8b" + bytes(30)}, "set.tar.gz"),
    "tar-of-links": _tar(good(), link={"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    "tar-of-devices": _tar(good(), device={"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
    "tar-of-a-pipe": _tar(good(), pipe={"type": tarfile.FIFOTYPE}),
    "tar-with-names-that-lead-out": _tar({**good(), "/etc/1.png": encoded(), "../x/1.png": encoded()}),
    "tar-without-labels": _tar({"1.png": encoded(), "1.txt": b"a caption"}),
    "tar-with-bad-json": _tar({**_SAMPLES, "7.png": encoded(), "7.json": b"{"}),
    "tar-with-nested-json": _tar({**_SAMPLES, "7.png": encoded(), "7.json": b"[" * 100_000}),
    "tar-with-a-label-of-noise": _tar({**_SAMPLES, "7.png": encoded(), "7.cls": b"\xff\xfe"}),
    "csv-empty": _table(""),
    "csv-of-a-header": _table("path,label\n"),
    "csv-without-labels": _table("path\na/0.png\n"),
    "csv-in-latin-1": _table(b"path,label\na/0.png,caf\xe9\n"),
    "csv-in-utf-16": _table(_rows().encode("utf-16")),
    "csv-with-nulls": _table(_rows("a/0.png,\0")),
    "csv-with-a-field-of-a-megabyte": _table(_field("x" * 1_000_000)),
    "csv-with-an-open-quote": _table(_rows('"a/0.png,x')),
    "csv-of-files-that-are-not-there": _table(_rows("c/0.png,c")),
    "csv-with-a-row-twice": _table(_rows("a/0.png,a")),
    "csv-of-a-system-file": _table(_rows("/etc/hostname,a")),
    "csv-that-leads-out": _table(_rows("../../../../../../etc/hostname,a")),
    "csv-of-a-folder": _table(_rows("a,a")),
    "csv-with-an-empty-label": _table(_rows("a/0.png,")),
    "csv-of-one-class": _table("path,label\na/0.png,a\na/1.png,a\n"),
    "csv-with-an-odd-split": _table("path,label,split\na/0.png,a,dev\n"),
    "csv-with-semicolons": _table(_rows().replace(",", ";")),
    "csv-with-many-columns": _table("path,label" + ",x" * 50_000 + "\na/0.png,a\n"),
    "csv-with-short-rows": _table(_rows("a/1.png")),
    "csv-of-noise": _table(random.Random(SEED).randbytes(20_000)),
    "parquet-of-noise": _table(b"PAR1" + random.Random(SEED).randbytes(500) + b"PAR1", ".parquet"),
    "parquet-empty": _table(b"", ".parquet"),
}  # fmt: skip
