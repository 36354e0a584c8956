"""Decoding: what open_clip's transform would see, or an ImageError."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageFile

from featcache.errors import ImageError
from featcache.images.decode import decode, jpeg_size

TRANSFORM = image_transform_v2(PreprocessCfg(size=32), is_train=False)


def picture(mode: str = "RGB", size: tuple[int, int] = (60, 40), seed: int = 0) -> Image.Image:
    """Smooth colours with some noise, so that every resampling and rotation shows."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    pixels = np.stack([x * 190 // width, y * 190 // height, (x + y) * 190 // (width + height)], -1) + noise
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def float_tiff(most: float, *, whole: bool = False) -> bytes:
    values = np.linspace(0, most, 24, dtype=np.float32).reshape(4, 6)
    return encoded(Image.fromarray(np.floor(values) if whole else values), "TIFF")


def sixteen_bit() -> bytes:
    values = np.random.default_rng(0).integers(0, 2**16, (40, 60), dtype=np.uint16)
    return encoded(Image.fromarray(values), "PNG")


def palette_with_transparency() -> bytes:
    return encoded(picture("P"), "PNG", transparency=bytes(range(256)))


def rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(), "JPEG", exif=exif)


def animated(format: str) -> bytes:
    frames = [picture(seed=seed) for seed in range(3)]
    return encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=10)


READABLE = {
    "jpeg": encoded(picture(), "JPEG"),
    "progressive jpeg": encoded(picture(), "JPEG", progressive=True),
    "grey jpeg": encoded(picture("L"), "JPEG"),
    "CMYK jpeg": encoded(picture("CMYK"), "JPEG"),
    "CMYK tiff": encoded(picture("CMYK"), "TIFF"),
    "EXIF-rotated jpeg": rotated_by_exif(),
    "png": encoded(picture(), "PNG"),
    "RGBA png": encoded(Image.merge("RGBA", (*picture().split(), picture("L", seed=1))), "PNG"),
    "LA png": encoded(Image.merge("LA", (picture("L"), picture("L", seed=1))), "PNG"),
    "palette png": encoded(picture("P"), "PNG"),
    "palette with one transparent colour": encoded(picture("P"), "PNG", transparency=3),
    "palette with transparency": palette_with_transparency(),
    "16-bit png of 8-bit values": encoded(Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16)), "PNG"),
    "32-bit tiff": encoded(Image.fromarray((np.arange(2400, dtype=np.int32) % 256).reshape(40, 60)), "TIFF"),
    "float tiff of 8-bit values": encoded(
        Image.fromarray((np.arange(2400, dtype=np.float32) % 256).reshape(40, 60)), "TIFF"
    ),
    "1-bit png": encoded(picture("1"), "PNG"),
    "gif": encoded(picture("P"), "GIF"),
    "animated gif": animated("GIF"),
    "animated png": animated("PNG"),
    "animated webp": animated("WEBP"),
    "webp": encoded(picture(), "WEBP"),
    "bmp": encoded(picture(), "BMP"),
    "one pixel": encoded(picture(size=(1, 1)), "PNG"),
    "very wide": encoded(picture(size=(900, 1)), "PNG"),
}


@pytest.fixture(autouse=True)
def bombs_at_ten_thousand_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bomb tests then need no hundred million pixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)


@pytest.mark.parametrize("name", READABLE)
def test_the_transform_sees_what_it_would_see_of_the_file(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the palette remark, which `decode` must prevent below
        expected = TRANSFORM(Image.open(io.BytesIO(READABLE[name])))
    actual = TRANSFORM(decode(READABLE[name]))
    assert torch.equal(actual, expected)
    assert actual.shape == (3, 32, 32)


def test_an_opened_image_is_loaded() -> None:
    opened = Image.open(io.BytesIO(READABLE["jpeg"]))
    assert torch.equal(TRANSFORM(decode(opened)), TRANSFORM(decode(READABLE["jpeg"])))
    with pytest.raises(ImageError, match="it is cut short"):
        decode(Image.open(io.BytesIO(READABLE["jpeg"][:-200])))


def test_exif_rotation_is_not_applied_and_the_first_frame_is_taken() -> None:
    assert decode(READABLE["EXIF-rotated jpeg"]).size == (60, 40)
    first = np.asarray(decode(READABLE["animated png"]).convert("RGB"))
    assert np.array_equal(first, np.asarray(picture(seed=0)))


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(decode(pixels)), pixels)
    assert np.array_equal(np.asarray(decode(pixels[:, ::-1])), pixels[:, ::-1])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><p>404", r"not an image, or its header is damaged \(21 bytes\)"),
        (b"\0" * 1000, "not an image"),
        (np.zeros((4, 4), np.float32), r"float32 \(4, 4\): expected uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"expected uint8 \(H, W\) or \(H, W, 3\)"),
        (np.zeros((0, 4), np.uint8), "there are none"),
        (encoded(picture(size=(150, 100)), "PNG"), "a decompression bomb: more than 10000 pixels"),  # PIL warns
        (encoded(picture(size=(150, 200)), "PNG"), "a decompression bomb: more than 10000 pixels"),  # PIL raises
        (sixteen_bit(), "more than 8 bits a pixel .*scale it to 8 bits"),
        (float_tiff(1.0), "fractions .*scale it to 8 bits"),  # the transform would see a black image
        (float_tiff(float("nan")), "fractions .*scale it to 8 bits"),
        (float_tiff(3000.0, whole=True), "more than 8 bits a pixel .*scale it to 8 bits"),
        (encoded(picture(size=(2500, 2)), "PNG"), "2500 x 2 pixels: one side is over 1000 times"),
    ],
)
def test_bad_images(raw: bytes | np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(raw)


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "bmp", "CMYK tiff", "animated webp"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("tolerant", [False, True])
def test_truncated_files_are_refused_whatever_pillow_was_told(
    name: str, kept: float, tolerant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    raw = READABLE[name]
    try:
        image = decode(raw[: int(len(raw) * kept)])
    except ImageError:
        pass
    else:  # an animation's later frames may be missing: its first frame must then be whole
        assert name == "animated webp"
        assert torch.equal(TRANSFORM(image), TRANSFORM(decode(raw)))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is tolerant


def test_modes_that_open_clip_cannot_convert_are_refused() -> None:
    image = Image.new("La", (8, 8))
    with pytest.raises(ValueError, match="conversion"):
        TRANSFORM(image)
    with pytest.raises(ImageError, match="mode La cannot be resized and converted to RGB"):
        decode(image)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(READABLE)),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damage_gives_an_image_or_an_image_error(name: str, changes: list[tuple[float, int]]) -> None:
    damaged = bytearray(READABLE[name])
    for position, value in changes:
        damaged[int(position * len(damaged))] = value
    reason = ""
    try:
        image = decode(bytes(damaged))
    except ImageError as error:
        reason = str(error)
    else:
        assert TRANSFORM(image).shape == (3, 32, 32)
    assert "\n" not in reason
    assert "object at 0x" not in reason


def jpeg(width: int, height: int, mode: str = "RGB", **how: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (width, height), 7 if mode == "L" else None).save(stream, "JPEG", **how)
    return stream.getvalue()


@pytest.mark.parametrize(("draft", "size"), [(None, (96, 64)), (32, (48, 32)), (15, (24, 16)), (3, (12, 8))])
def test_a_draft_of_a_jpeg_keeps_so_many_pixels(draft: int | None, size: tuple[int, int]) -> None:
    assert decode(jpeg(96, 64), draft=draft).size == size


def test_what_is_no_jpeg_has_no_draft() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48)).save(stream, "PNG")
    assert decode(stream.getvalue(), draft=8).size == (64, 48)


def test_a_whole_jpeg_tells_its_size_from_its_header() -> None:
    whole = jpeg(64, 48)
    assert jpeg_size(whole) == jpeg_size(jpeg(64, 48, "L")) == jpeg_size(jpeg(64, 48, progressive=True)) == (48, 64)
    assert jpeg_size(whole + bytes(100)) == (48, 64)
    for other in (whole[:-20], whole[:300], b"", b"\xff\xd8\xff\xd9", jpeg(64, 48, "CMYK"), jpeg(4000, 2)):
        assert jpeg_size(other) is None
    stream = io.BytesIO()
    Image.new("RGB", (64, 48)).save(stream, "PNG")
    assert jpeg_size(stream.getvalue()) is jpeg_size(np.zeros((4, 4), np.uint8)) is None
