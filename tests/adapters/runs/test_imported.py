"""Heads on imported embeddings: everything works on them, and says beside its numbers what is not known of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import adapters
import featcache
from adapters.commands.audit import audit_page
from adapters.commands.saved.eval import evaluation_page
from adapters.fitting.fit import fit
from adapters.runs.evaluate import evaluate
from adapters.runs.predict import predict
from adapters.tasks.same_encoder import first_difference
from featcache.errors import ModelError
from featcache.importing.asked import Asked
from featcache.importing.run import run_import
from tests.pages import texts
from tests.pictures import tiny_png


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
    (tmp_path / "a.png").write_bytes(tiny_png(1))
    with pytest.raises(ModelError, match="nobody said which encoder made them: type --model"):
        predict(saved.run, [tmp_path / "a.png"])


def test_two_unknown_encoders_are_not_the_same(cache: featcache.Cache) -> None:
    assert first_difference(cache.encoder, cache.encoder) == "weights_sha256"
