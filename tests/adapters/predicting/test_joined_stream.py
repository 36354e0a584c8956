"""A run of joined caches answers for new images as for those of its caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adapters
import featcache
from adapters.errors import AdapterError, RunError
from adapters.exporting.export import export
from adapters.fitting.fit import fit
from adapters.head import Head
from adapters.joining.joined_cache import JoinedCache, join
from adapters.predicting.predictor import Predictor


@pytest.fixture(scope="module")
def run(saved: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of the embedded model and of one with drawn weights, in batches of another size; its report."""
    asked: dict[str, Any] = {"root": saved.root, "workers": 0, "progress": False, "device": "cpu"}
    other = featcache.extract("tiny", str(saved.pictures), pretrained="random", batch_size=5, name="drawn", **asked)
    joined = join([saved.cache, other], (0.7, 0.3))
    out = tmp_path_factory.mktemp("joined") / "run"
    return joined, fit("zero-shot", cache=joined, shots=1, out=out, root=saved.root, device="cpu")


def test_new_images_pass_all_encoders_as_they_did_for_their_caches(
    run: tuple[JoinedCache, Any], saved: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined, report = run
    predictor = Predictor.load(report.run, root=saved.root, device="cpu", reuse=False)
    assert (predictor.batch_size, predictor.model) == (7, "tiny + tiny (local + random)")
    seen: list[np.ndarray] = []
    decide = Head.decision_function
    monkeypatch.setattr(Head, "decision_function", lambda self, X: seen.append(X) or decide(self, X))
    broken = str(Path(saved.run) / "config.json")
    items = list(predictor.predict([*saved.files[:6], broken, *saved.files[6:9]], workers=0))
    of_batches = [
        rows[: len(rows) if count is None else count] for rows, count in zip(seen, (5, 1, 2, 1), strict=False)
    ]
    expected = joined["test"].images
    found = np.concatenate(of_batches)
    assert np.array_equal(found[:8], expected[:8])
    assert [item.error is not None for item in items] == [False] * 6 + [True] + [False] * 3
    assert [item.id for item in items] == [*saved.files[:6], broken, *saved.files[6:9]]
    head = adapters.load(report.run, device="cpu")
    assert [item.predicted for item in items if item.predicted] == [
        joined.class_names[code] for code in head.predict(expected[:9])
    ]


def test_embeddings_of_all_caches_are_taken_from_there(run: tuple[JoinedCache, Any], saved: Any) -> None:
    predictor = Predictor.load(run[1].run, root=saved.root, device="cpu")
    (item,) = predictor.predict([Path(saved.files[0]).read_bytes()])
    assert item.cache == run[0].name
    (ready,) = predictor.predict([predictor.ready(Path(saved.files[0]).read_bytes())])
    assert ready.predicted == item.predicted


def test_what_is_of_one_encoder_alone_is_refused(run: tuple[JoinedCache, Any], saved: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has several encoders"):
        Predictor.load(run[1].run, model="tiny")
    with pytest.raises(AdapterError, match="has 2 encoders: export it without --with-encoder"):
        export(run[1].run, with_encoder=True, out=tmp_path / "a.onnx")
    with pytest.raises(AdapterError, match="to which no class can be added"):
        adapters.add(run[1].run, {"owl": []}, root=saved.root)
