"""What comes before the last projection, kept beside the embeddings: written, read, proven, taken by other caches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import featcache
from featcache.cache.layout import PROJECTION
from featcache.encoders.before_projection import take_off, text_projection
from featcache.errors import CacheIncomplete, DataError, ModelError
from featcache.exporting.export import export_cache
from featcache.progress import Silent
from featcache.verification.verify import verify
from tests.conftest import ImageFolder

KEPT = "pre-projection"


def extract(folder: Path, **asked: object) -> featcache.Cache:
    how = {"views": 1, "batch_size": 4, "workers": 0, "device": "cpu", "progress": False, **asked}
    return featcache.extract("tiny", str(folder), **how)  # type: ignore[arg-type]


@pytest.fixture
def folder(image_folder: ImageFolder, root: Path) -> Path:
    return image_folder(classes=2, per_class=5)


@pytest.fixture
def cache(folder: Path) -> featcache.Cache:
    return extract(folder, keep=KEPT)


def test_embeddings_are_the_same_and_follow_from_what_is_kept(cache: featcache.Cache, folder: Path) -> None:
    (folder / "fresh").mkdir()
    plain = extract(folder, root=folder / "fresh", dtype="float32")
    wide = extract(folder, root=folder / "fresh", dtype="float32", keep=KEPT, name="wide")
    assert wide.manifest["provenance"]["request"] == plain.manifest["provenance"]["request"]
    projections = wide.projections
    assert projections is not None
    assert {name: each.shape for name, each in projections.items()} == {
        "image": (640, 128),
        "image_bias": (128,),
        "text": (64, 128),
    }
    for split in plain.splits:
        np.testing.assert_array_equal(wide[split].images, plain[split].images)
        before = wide[split].take_pre_images(slice(None))
        assert before is not None
        found = before @ projections["image"] + projections["image_bias"]
        np.testing.assert_allclose(found, wide[split].images, atol=1e-4)
    assert plain["train"].take_pre_images(slice(None)) is None
    views = wide["train"].take_pre_views(slice(None))
    assert views is not None
    found = views @ projections["image"] + projections["image_bias"]
    np.testing.assert_allclose(found, wide["train"].views, atol=1e-4)
    assert wide["test"].take_pre_views(slice(None)) is None


def test_a_reader_sees_it_in_place_of_embeddings(cache: featcache.Cache) -> None:
    before = cache.before_projection()
    assert before["train"].images.shape[1] == 641
    assert before["train"].views is not None
    assert before["train"].views.shape[1:] == (1, 641)
    assert (before["train"].images[:, -1] == 1).all()
    assert before.text.image_projection is not None
    assert before.text.image_projection.shape == (641, 128)
    assert before.text.image_bias
    assert cache.text.image_projection is None
    assert cache.text.projection is not None
    assert cache["train"].images.shape[1] == 128
    assert before.digest == cache.digest


def test_it_is_proven_and_mended(cache: featcache.Cache, folder: Path) -> None:
    found = verify(cache.folder, sample=8, device="cpu")
    assert found.problems == []
    assert found.identical == found.sampled > 0  # a plain encoder gives the same embeddings
    for damaged, problem in (
        ("train/pre_images/c/0/0", "damaged"),
        ("train/pre_views/c/0/0/0", "damaged"),
        (f"{PROJECTION}/image/c/0/0", f"{PROJECTION}: damaged"),
    ):
        file = Path(cache.path) / damaged
        content = bytearray(file.read_bytes())
        content[5] ^= 1
        file.write_bytes(bytes(content))
        (told,) = verify(cache.folder, sample=0, repair=True).problems
        assert problem in told
        mended = extract(folder, keep=KEPT)
        assert mended.digest == cache.digest
        assert verify(cache.folder, sample=0).problems == []


def test_damaged_projections_are_told_by_the_reader(cache: featcache.Cache) -> None:
    file = Path(cache.path) / PROJECTION / "text" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(CacheIncomplete, match="projection of .* is damaged; type `featcache verify .* --repair`"):
        _ = featcache.open(cache.path).text


def test_other_caches_take_what_they_need(cache: featcache.Cache, folder: Path) -> None:
    plain = extract(folder, name="plain")
    np.testing.assert_array_equal(plain["train"].images, cache["train"].images)
    assert plain.projections is None
    assert Path(plain.path, "train", "images").exists()
    again = extract(folder, keep=KEPT, name="again")
    for split in cache.splits:
        one, other = (each[split].take_pre_images(slice(None)) for each in (again, cache))
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        again["train"].take_pre_views(slice(None)), cache["train"].take_pre_views(slice(None))
    )


def test_a_plain_cache_lacks_it_and_is_not_taken_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract(folder, name="plain")
    wide = extract(folder, keep=KEPT)
    assert wide["train"].take_pre_images(slice(None)) is not None
    assert verify(wide.folder, sample=0).problems == []


def test_an_export_says_that_it_leaves_it_out(cache: featcache.Cache, tmp_path: Path) -> None:
    done = export_cache(cache, "npz", tmp_path / "out.npz", overwrite=False, reporter=Silent())
    assert done.to_json()["pre_projection_left_out"] is True


def test_what_can_be_kept_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match="--keep 'all' given; expected pre-projection"):
        extract(folder, keep="all")


def test_a_vision_transformer_ends_with_a_matrix() -> None:
    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proj: nn.Parameter | None = nn.Parameter(torch.randn(6, 4))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows if self.proj is None else rows @ self.proj

    tower, rows = Tower(), torch.randn(3, 6)
    expected = tower(rows)
    taken = take_off(tower, "ViT")
    assert torch.equal(tower(rows), rows)
    assert torch.equal(taken.apply(rows), expected)


def test_a_tower_that_ends_in_another_way_is_refused() -> None:
    with pytest.raises(ModelError, match="the image tower of ConvNeXt does not end with a matrix that can be kept"):
        take_off(nn.Linear(3, 3), "ConvNeXt")


def test_text_towers_end_with_a_matrix_or_a_layer() -> None:
    model, layer = nn.Module(), nn.Linear(5, 3, bias=False)
    assert text_projection(model) is None
    model.text_projection = layer
    torch.testing.assert_close(text_projection(model), layer.weight.T)
    outer = nn.Module()
    outer.text = nn.Module()
    outer.text.text_projection = nn.Parameter(torch.ones(2, 3))
    torch.testing.assert_close(text_projection(outer), torch.ones(2, 3))
