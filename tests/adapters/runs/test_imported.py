"""Heads on imported embeddings: everything works on them, and says beside its numbers what is not known of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import adapters
import featcache
from adapters.commands.audit import audit_page
from adapters.commands.saved.eval import evaluation_page
from adapters.errors import RunError
from adapters.fitting.fit import fit
from adapters.runs.evaluate import evaluate
from adapters.tasks.same_encoder import first_difference
from featcache.errors import ModelError
from featcache.importing.asked import Asked
from featcache.importing.run import run_import
from tests.conftest import ImageFolder
from tests.pages import texts


@pytest.fixture
def cache(root: Path, tmp_path: Path) -> featcache.Cache:
    rng = np.random.default_rng(0)
    labels, text = np.arange(90) % 3, rng.normal(size=(3, 8))
    arrays = {"embeddings": 3 * text[labels] + rng.normal(size=(90, 8)), "labels": labels, "text": text}
    np.savez(tmp_path / "mine.npz", class_names=np.array(["ant", "bee", "cat"]), **arrays)
    return run_import(Asked(source=tmp_path / "mine.npz"), progress=False).cache


def test_fit_eval_and_audit_say_what_is_not_known(cache: featcache.Cache) -> None:
    saved = fit("tip", cache=cache, shots=2, select="none")
    assert cache.caveat in saved.note
    assert cache.caveat in (Path(saved.run) / "README.md").read_text()
    found = evaluate(saved.run)
    assert found.reproduced
    assert cache.caveat in texts(evaluation_page(found))
    assert cache.caveat in texts(audit_page(adapters.audit(cache)))


def test_predict_needs_the_encoder_named(cache: featcache.Cache, tmp_path: Path) -> None:
    saved = fit("tip", cache=cache, shots=2, select="none")
    with pytest.raises(ModelError, match=r"nobody said which encoder made them: type --model NAME"):
        adapters.Predictor.load(saved.run)
    with pytest.raises(RunError, match="fitted on embeddings of 8 numbers, and .*tiny gives 128"):
        adapters.Predictor.load(saved.run, model="tiny", device="cpu")


def test_predict_takes_a_named_encoder_at_its_word(root: Path, tmp_path: Path, image_folder: ImageFolder) -> None:
    made = featcache.extract("tiny", str(image_folder()), device="cpu", progress=False)
    arrays = {f"{split}_embeddings": made[split].images for split in made.splits}
    arrays |= {f"{split}_labels": made[split].labels for split in made.splits}
    np.savez(tmp_path / "tiny.npz", text=made.text.features, class_names=np.array(made.class_names), **arrays)
    cache = run_import(Asked(source=tmp_path / "tiny.npz"), progress=False).cache
    saved = fit("zero-shot", cache=cache, shots=2)
    predictor = adapters.Predictor.load(saved.run, model="tiny", device="cpu")
    assert "is your word alone" in predictor.note
    photo = next((tmp_path / "photos" / "class_1").iterdir())
    (item,) = predictor.predict([photo])
    assert item.error is None
    assert item.predicted in cache.class_names


def test_two_unknown_encoders_are_not_the_same(cache: featcache.Cache) -> None:
    assert first_difference(cache.encoder, cache.encoder) == "weights_sha256"
