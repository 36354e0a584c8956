"""What comes before the last projection, kept beside the embeddings: written, read, proven, taken by other caches."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import featcache
from featcache.cache.layout import PROJECTION
from featcache.cache.projections import projections_digest, read_projections, write_projections
from featcache.encoders.before_projection import take_off, text_projection
from featcache.errors import CacheError, CacheIncomplete, DataError, ModelError
from featcache.exporting.export import export_cache
from featcache.places.folder import Folder
from featcache.progress import Silent
from featcache.verification.verify import verify
from tests.pictures import draw_class_folders

KEPT = "pre-projection"


def extract(place: Path, **asked: object) -> featcache.Cache:
    how = {"root": place / "home", "batch_size": 4, "workers": 0, "views": 1, "device": "cpu", "progress": False}
    return featcache.extract("tiny", str(place / "photos"), **{**how, **asked})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("keep")
    draw_class_folders(found / "photos", classes=2, per_class=4, seed=0)
    return found


@pytest.fixture(scope="module")
def cache(place: Path) -> featcache.Cache:
    return extract(place, keep=KEPT)


def test_embeddings_are_the_same_and_follow_from_what_is_kept(cache: featcache.Cache) -> None:
    found = verify(cache.folder, sample=4, device="cpu")
    assert found.problems == []
    assert found.identical == found.sampled > 0  # a plain encoder gives the same embeddings, bit for bit
    projections = cache.projections
    assert projections is not None
    shapes = {name: each.shape for name, each in projections.items()}
    assert shapes == {"image": (640, 128), "image_bias": (128,), "text": (64, 128)}
    train = cache["train"]
    for before, after in (
        (train.take_pre_images(slice(None)), train.images),
        (train.take_pre_views(slice(None)), train.views),
    ):
        assert before is not None
        assert after is not None
        follows = before @ projections["image"] + projections["image_bias"]
        np.testing.assert_allclose(follows, after, atol=2e-2)  # of stored halves
    assert cache["test"].take_pre_views(slice(None)) is None


def test_a_reader_sees_it_in_place_of_embeddings(cache: featcache.Cache) -> None:
    before = cache.before_projection()
    images, views = before["train"].images, before["train"].views
    assert views is not None
    assert (images.shape[1], views.shape[1:]) == (641, (1, 641))
    assert (images[:, -1] == 1).all()
    projection = before.text.image_projection
    assert projection is not None
    np.testing.assert_allclose(images @ projection, cache["train"].images, atol=2e-2)
    assert before.text.image_bias
    assert cache.text.image_projection is None
    assert cache.text.projection is not None
    assert cache["train"].images.shape[1] == 128
    assert before.digest == cache.digest


def test_other_caches_take_what_they_need(cache: featcache.Cache, place: Path) -> None:
    plain = extract(place, name="plain")
    np.testing.assert_array_equal(plain["train"].images, cache["train"].images)
    assert plain.projections is None
    assert plain["train"].take_pre_images(slice(None)) is None
    with pytest.raises(CacheError, match="cache plain keeps nothing from before the last projection"):
        plain.before_projection()
    again = extract(place, keep=KEPT, name="again")
    for one, other in ((again["train"], cache["train"]), (again["test"], cache["test"])):
        np.testing.assert_array_equal(one.take_pre_images(slice(None)), other.take_pre_images(slice(None)))
    views = again["train"].take_pre_views(slice(None))
    np.testing.assert_array_equal(views, cache["train"].take_pre_views(slice(None)))
    assert verify(again.folder, sample=0).problems == []


@pytest.mark.parametrize("array", ["train/pre_images/c/0/0", "train/pre_views/c/0/0/0", "projection/image/c/0/0"])
def test_damage_is_found_and_removed(cache: featcache.Cache, tmp_path: Path, array: str) -> None:
    shutil.copytree(cache.path, tmp_path / "copy")
    file = tmp_path / "copy" / array
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(bytes(content))
    copy = Folder(str(tmp_path / "copy"))
    (told,) = verify(copy, sample=0, repair=True).problems
    assert "damaged" in told
    assert not file.exists()
    with pytest.raises(CacheIncomplete, match="unfinished"):
        featcache.open(copy.location)


def test_a_swapped_chunk_breaks_the_seal(cache: featcache.Cache, tmp_path: Path) -> None:
    shutil.copytree(cache.path, tmp_path / "copy")
    train, test = (tmp_path / "copy" / split / "pre_images" / "c" / "0" / "0" for split in ("train", "test"))
    shutil.copyfile(test, train)
    (told,) = verify(Folder(str(tmp_path / "copy")), sample=0).problems
    assert "train" in told


def test_projections_are_written_again_where_they_are_lost(cache: featcache.Cache, tmp_path: Path) -> None:
    projections = cache.projections
    assert projections is not None
    shutil.copytree(cache.path, tmp_path / "copy")
    copy = Folder(str(tmp_path / "copy"))
    (tmp_path / "copy" / PROJECTION / "text" / "c" / "0" / "0").write_bytes(b"no chunk")
    with pytest.raises(CacheIncomplete, match="projection of .* is damaged; type `featcache verify .* --repair`"):
        read_projections(copy, cache.manifest)
    write_projections(copy, projections)
    again = read_projections(copy, cache.manifest)
    assert again is not None
    assert projections_digest(again) == projections_digest(projections)


def test_an_export_says_that_it_leaves_it_out(cache: featcache.Cache, tmp_path: Path) -> None:
    done = export_cache(cache, "npz", tmp_path / "out.npz", overwrite=False, reporter=Silent())
    assert done.to_json()["pre_projection_left_out"] is True


def test_what_can_be_kept_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--keep 'all' given; expected pre-projection"):
        extract(tmp_path, keep="all")


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
