"""What a job does with a batch, whatever the encoder is."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
import pytest
import torch

from featcache.cache.layout import ENCODED, UNREADABLE
from featcache.cache.plan import Shard, ShardPlan
from featcache.encoders.encoder import PendingEmbeddings
from featcache.encoding.pipeline import finish_batches, start_batches
from featcache.errors import DataError, ModelError
from featcache.extraction.job import Job, empty_result, fill
from featcache.ids import encode_ids
from featcache.images.batches import PixelBatch

SHARD = Shard("train", 4, 7)


class Brightness:
    """Embeds an image as its brightness, twice; counts what it is given."""

    dim, width, device = 2, 2, torch.device("cpu")

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def start_images(self, pixels: torch.Tensor, *, pad_to: int) -> PendingEmbeddings:
        self.sizes.append(max(len(pixels), pad_to))
        assert pixels.shape[1:] == (3, 2, 4)
        brightness = pixels.float().mean((1, 2, 3))[:, None].expand(-1, self.dim)
        return PendingEmbeddings(brightness, lambda: None, "fp32")


def job(encoder: Any, **changes: Any) -> Job:
    plan = ShardPlan(rows={"train": 7}, batch_size=4, rows_per_shard=4)
    given = {"reader": None, "views": {"train": 1}, "view_seed": 0, "skip_unreadable": True, "workers": 0} | changes
    return Job(encoder=encoder, ids={"train": encode_ids([f"{row}.png" for row in range(7)])}, plan=plan, **given)


def batch() -> PixelBatch:
    pixels = torch.arange(6, dtype=torch.uint8).reshape(3, 2, 1, 1, 1).expand(-1, -1, 2, 4, 3).clone()
    return PixelBatch(pixels, ["", "the file is empty", ""], np.full((3, 16), 7, np.uint8))


class WithBatch(Job):
    """A job whose batch is decoded already."""

    def decode(self, batches: Iterable[tuple[str, range]]) -> Generator[PixelBatch]:
        yield batch()


def encoded(this: Job, batch: PixelBatch) -> np.ndarray:
    return finish_batches(this, [batch], start_batches(this, [batch]))[0][1]


def test_a_short_batch_is_padded_so_that_bits_do_not_depend_on_what_follows() -> None:
    encoder = Brightness()
    embeddings = encoded(job(encoder), batch())
    assert encoder.sizes == [4, 4]  # once for each view
    assert np.isnan(embeddings[1]).all()
    assert embeddings[[0, 2], :, 0].tolist() == [[0.0, 1.0], [4.0, 5.0]]


def test_nothing_readable_is_not_encoded() -> None:
    encoder, nothing = Brightness(), batch()
    nothing.reasons = ["the file is empty"] * 3
    assert np.isnan(encoded(job(encoder), nothing)).all()
    assert encoder.sizes == []


def test_a_batch_fills_its_rows_of_a_shard() -> None:
    this = job(Brightness())
    result = empty_result(SHARD, this)
    assert (result.state == UNREADABLE).all()
    fill(result, range(4, 7), batch(), encoded(this, batch()), this)
    assert result.state.tolist() == [ENCODED, UNREADABLE, ENCODED]
    assert (result.content == 7).all()
    assert result.views is not None
    assert (result.images[2, 0], result.views[2, 0, 0]) == (4.0, 5.0)
    assert result.bad == [{"row": 5, "id": "5.png", "reason": "the file is empty"}]


def test_an_unreadable_image_stops_a_run_that_does_not_skip() -> None:
    this = job(Brightness(), skip_unreadable=False)
    with pytest.raises(DataError, match=r"cannot read 5\.png \(train row 5\): the file is empty; .*--on-error skip"):
        fill(empty_result(SHARD, this), range(4, 7), batch(), np.zeros((3, 2, 2), np.float32), this)


def test_a_batch_that_is_too_large_says_what_to_type() -> None:
    class Full(Brightness):
        def start_images(self, pixels: torch.Tensor, *, pad_to: int) -> PendingEmbeddings:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ModelError, match="a batch of 4 images does not fit .*--batch-size 2 and another --name"):
        list(WithBatch(**vars(job(Full()))).encode([("train", range(4, 7))]))
