from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import featcache
from adapters import ClipAdapter, TipAdapter
from featcache.encoders.encoder import Encoder
from featcache.encoding import image_encoder
from featcache.errors import DataError, ModelError
from tests.pictures import draw_class_folders


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str], Path]:
    """Paths, labels and the root."""
    root = tmp_path_factory.mktemp("encoder")
    files = sorted(draw_class_folders(root / "photos", classes=3, per_class=12, seed=0).rglob("*.png"))
    return [str(file) for file in files], [file.parent.name for file in files], root


@pytest.fixture
def encoder(pictures: Any) -> Iterator[featcache.ImageEncoder]:
    """One that has encoded nothing yet."""
    image_encoder._stream.cache_clear()
    yield featcache.ImageEncoder("tiny", device="cpu", batch_size=8, workers=0, root=pictures[2])
    image_encoder._stream.cache_clear()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that an encoder is given."""
    sizes: list[int] = []
    start = Encoder.start_images
    monkeypatch.setattr(Encoder, "start_images", lambda self, x, **how: sizes.append(len(x)) or start(self, x, **how))
    return sizes


def test_features_are_unit_rows_in_order_whatever_the_images_come_as(encoder: Any, pictures: Any) -> None:
    files = pictures[0][:5]
    features = encoder.transform(files)
    assert features.dtype == np.float32
    assert features.shape == (5, encoder.n_features_out)
    assert np.allclose(np.linalg.norm(features, axis=1), 1)
    opened = [Image.open(file) for file in files]
    for same in (
        [Path(file) for file in files], np.array(files), np.array(files)[:, None], opened,
        np.stack([np.asarray(one) for one in opened]), (Path(file).read_bytes() for file in files),
    ):  # fmt: skip
        assert np.array_equal(encoder.fit_transform(same), features)
    assert list(encoder.get_feature_names_out()[:2]) == ["imageencoder0", "imageencoder1"]


def test_a_pipeline_fits_clones_cross_validates_and_pickles_without_weights(
    encoder: Any, pictures: Any, encoded: list[int]
) -> None:
    files, labels, _ = pictures
    model = make_pipeline(encoder, TipAdapter())
    scores = cross_val_score(model, files, labels, cv=3)
    assert scores.mean() > 0.8
    assert sum(encoded) <= len(files) + 8 * 3  # every image once; batches are partly known ones
    encoded.clear()
    model.fit(files, labels)
    again = clone(model).fit(files, labels)
    assert np.array_equal(again.predict(files), model.predict(files))
    assert encoded == []
    stored = pickle.dumps(model)
    assert len(stored) < 100_000
    image_encoder._stream.cache_clear()
    assert np.array_equal(pickle.loads(stored).predict(files), model.predict(files))
    assert encoder.get_params()["model"] == "tiny"
    assert "ImageEncoder(" in repr(model)


def test_other_estimators_take_it_too(encoder: Any, pictures: Any) -> None:
    files, labels, _ = pictures
    assert make_pipeline(encoder, LogisticRegression(C=100)).fit(files, labels).score(files, labels) > 0.9


def test_heads_are_given_text_by_the_pipeline(encoder: Any, pictures: Any) -> None:
    files, labels, _ = pictures
    names = sorted(set(labels))
    text = encoder.class_text(names)
    assert text.features.shape == (3, 1, encoder.n_features_out)
    assert text.prompts[0] == ("a photo of a class 0.",)
    model = make_pipeline(encoder, ClipAdapter(epochs=5))
    codes = [names.index(label) for label in labels]
    model.fit(files, codes, clipadapter__text=text)
    assert np.allclose(model[1].text_, text.weights(), atol=1e-6)
    scores = cross_val_score(model, files, codes, cv=2, params={"clipadapter__text": text})
    assert np.isfinite(scores).all()


def test_what_a_cache_has_is_not_encoded(encoder: Any, pictures: Any, encoded: list[int]) -> None:
    files, _, root = pictures
    asked: dict[str, Any] = {"workers": 0, "progress": False, "device": "cpu", "batch_size": 8, "root": root / "other"}
    cache = featcache.extract("tiny", str(root / "photos"), **asked)
    encoded.clear()
    features = encoder.set_params(root=root / "other").transform(files)
    assert encoded == []
    row = files.index(str(root / "photos" / str(cache["test"].ids[0])))
    raw = cache["test"].images[0]
    assert np.allclose(features[row], raw / np.linalg.norm(raw), atol=1e-6)


def test_an_image_that_cannot_be_read_is_named(encoder: Any, pictures: Any) -> None:
    with pytest.raises(DataError, match=r"cannot read nowhere.png: No such file or directory and 1 more: leave"):
        encoder.transform([pictures[0][0], "nowhere.png", b"x"])
    with pytest.raises(DataError, match="0 images were given"):
        encoder.transform([])
    with pytest.raises(ModelError, match="no model 'ViT-B-61'"):
        featcache.ImageEncoder("ViT-B-61").fit(pictures[0])


def test_what_is_kept_stays_for_those_who_rely_on_it(
    encoder: Any, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding processes hold that an image is known since they began: its features must still be there."""
    monkeypatch.setattr(image_encoder, "KEPT_BYTES", 4 * 128 * 3)
    encoder.set_params(workers=1)
    assert np.array_equal(encoder.transform(pictures[0]), encoder.transform(pictures[0]))
    assert len(encoder._stream()._kept._kept) == 3
