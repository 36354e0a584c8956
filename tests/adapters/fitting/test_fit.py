from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import adapters
from adapters import methods
from adapters.errors import AdapterError, RunError, TaskError
from adapters.fitting.fit import fit
from adapters.tasks import split_rows
from featcache.records import SEAL, unsealed
from tests.adapters.conftest import NEEDS

Make = Callable[..., Any]


def weights(report: Any) -> dict[str, np.ndarray]:
    return load_file(Path(report.run) / "model.safetensors")


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_what_is_only_scored_is_never_in_memory_as_a_whole(
    make_cache: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    whole = fit("tip", cache=cache, shots=4, root=str(tmp_path))
    monkeypatch.setattr(split_rows, "BLOCK", 7)
    taken = []
    take = type(cache["test"]).take_images
    monkeypatch.setattr(type(cache["test"]), "images", property(lambda split: pytest.fail("all images were read")))
    monkeypatch.setattr(
        type(cache["test"]),
        "take_images",
        lambda split, rows: taken.append(len(take(split, rows))) or take(split, rows),
    )
    found = fit("tip", cache=cache, shots=4, root=str(tmp_path))
    assert found.scores == whole.scores
    assert found.ece == whole.ece
    assert sorted(taken)[-2:] == [7, 16]  # 16 shots, and then blocks


@pytest.mark.parametrize("method", list(methods.METHODS))
def test_every_method_is_fitted_scored_and_saved(make_cache: Make, tmp_path: Path, method: str) -> None:
    cache = make_cache(**NEEDS.get(method, {})).keeping()
    report = fit(method, cache=cache, shots=4, seed=2, root=str(tmp_path))
    content = report.to_json()
    assert json.loads(json.dumps(content)) == content
    assert unsealed(json.loads((Path(report.run) / "metrics.json").read_text())) == content
    assert (report.method, report.dataset, report.model, report.shots, report.seed) == (method, "shapes", "tiny", 4, 2)
    assert report.rows == {"support": 16, "val": 48, "test": 48}
    assert set(report.seconds) == {"load", "fit", "evaluate"}
    assert min(report.seconds.values()) > 0
    assert "device" not in report.hyperparameters
    head = adapters.load(report.run)
    assert report.accuracy["test"] == adapters.accuracy(
        head.decision_function(cache["test"].images), cache["test"].labels
    )
    assert report.accuracy["val"] == head.score(cache["val"].images, cache["val"].labels)
    assert report.parameters == head.parameters_
    assert sorted(path.name for path in Path(report.run).iterdir()) == [
        "README.md",
        "config.json",
        "indices.json",
        "metrics.json",
        "model.safetensors",
    ]


def test_zero_shot_stands_beside_every_head(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    test, text = cache["test"], cache.text.weights()
    unit = test.images / np.linalg.norm(test.images, axis=1, keepdims=True)
    expected = float(((unit @ text.T).argmax(1) == test.labels).mean())
    report = fit("tip", cache=cache, shots=4, root=str(tmp_path))
    assert report.accuracy["zero_shot"] == expected
    assert report.ece["zero_shot"] == pytest.approx(adapters.ece(20.0 * unit @ text.T, test.labels), abs=1e-6)
    assert report.accuracy["test"] > expected


@pytest.mark.parametrize(
    ("method", "select"), [("tip-f", "none"), ("linear", "support"), ("clip", "val-kshot"), ("tip", "val")]
)
def test_test_labels_decide_nothing_outside_oracle(make_cache: Make, tmp_path: Path, method: str, select: str) -> None:
    honest, poisoned = make_cache(), make_cache()
    poisoned["test"].labels[:] = poisoned["test"].labels[::-1]
    first = fit(method, cache=honest, shots=2, select=select, out=tmp_path / "honest")
    second = fit(method, cache=poisoned, shots=2, select=select, out=tmp_path / "poisoned")
    assert first.accuracy["test"] != second.accuracy["test"]
    assert first.accuracy["val"] == second.accuracy["val"]
    assert first.hyperparameters == second.hyperparameters
    assert same(weights(first), weights(second))
    assert "ORACLE" not in first.note


def test_oracle_is_shouted(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("tip", cache=cache, shots=2, select="oracle", root=str(tmp_path))
    assert report.note.startswith("ORACLE:")
    assert "ORACLE" in (Path(report.run) / "README.md").read_text()
    assert report.accuracy["test"] >= fit("tip", cache=cache, shots=2, root=str(tmp_path)).accuracy["test"]


def test_val_selection_says_that_val_is_no_longer_held_out(make_cache: Make, tmp_path: Path) -> None:
    report = fit("tip", cache=make_cache(), shots=2, select="val", root=str(tmp_path))
    assert "accuracy.val includes the images that chose" in report.note


def test_without_val_its_accuracy_is_null_and_the_val_regimes_fail_first(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache(splits=("train", "test"))
    assert fit("clip", cache=cache, shots=1, root=str(tmp_path / "a")).to_json()["accuracy"]["val"] is None
    with pytest.raises(TaskError, match="--select val needs a val split"):
        fit("clip", cache=cache, shots=1, select="val", root=str(tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def test_a_method_with_nothing_to_choose_says_so(make_cache: Make, tmp_path: Path) -> None:
    report = fit("zero-shot", cache=make_cache(), shots=2, select="val", root=str(tmp_path))
    assert report.note == "zero-shot has nothing to choose"


def test_one_shot_support_selection_says_why_nothing_was_chosen(make_cache: Make, tmp_path: Path) -> None:
    assert "one shot" in fit("tip", cache=make_cache(), shots=1, select="support", root=str(tmp_path)).note


@pytest.mark.parametrize("method", ["tip", "tip-f", "tip-x", "ape", "gda", "timo"])
def test_a_chosen_alpha_is_reported_with_its_interval(make_cache: Make, tmp_path: Path, method: str) -> None:
    cache = make_cache()
    for select, rows in (("support", 16), ("val-kshot", 16), ("val", 48), ("oracle", 48)):
        report = fit(method, cache=cache, shots=4, select=select, root=str(tmp_path))
        found = report.alpha_interval
        assert found is not None
        assert found["alpha"] == report.hyperparameters["alpha"]
        assert found["lo"] <= found["alpha"] <= (math.inf if found["hi"] is None else found["hi"])
        assert found["rows"] == rows
        assert (found["chosen_on"] == "support") == (select == "support")
        assert json.loads((Path(report.run) / "metrics.json").read_text())["alpha_interval"] == found
    assert found["accuracy"] == report.accuracy["test"]  # under oracle these are the rows that were looked at


@pytest.mark.parametrize(
    ("method", "select", "shots"), [("tip", "none", 4), ("tip", "support", 1), ("linear", "val", 4)]
)
def test_an_alpha_that_no_rows_chose_has_no_interval(
    make_cache: Make, tmp_path: Path, method: str, select: str, shots: int
) -> None:
    assert fit(method, cache=make_cache(), shots=shots, select=select, root=str(tmp_path)).alpha_interval is None


def test_the_encoders_scale_and_the_seed_reach_the_head(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("clip", cache=cache, shots=2, seed=5, root=str(tmp_path))
    assert (report.hyperparameters["logit_scale"], report.hyperparameters["seed"]) == (20.0, 5)
    report = fit("clip", cache=cache, shots=2, seed=5, params={"seed": 6, "alpha": 0.5}, root=str(tmp_path))
    assert (report.hyperparameters["seed"], report.hyperparameters["alpha"], report.seed) == (6, 0.5, 5)


def test_the_device_reaches_the_head_and_is_no_hyperparameter(make_cache: Make, tmp_path: Path) -> None:
    report = fit("clip", cache=make_cache(), shots=1, device="cpu", root=str(tmp_path))
    assert adapters.load(report.run).get_params()["device"] == "cpu"
    assert "device" not in report.hyperparameters


def test_the_same_configuration_takes_the_same_folder_and_another_does_not(make_cache: Make, tmp_path: Path) -> None:
    cache, root = make_cache(), str(tmp_path)
    first = fit("tip", cache=cache, shots=2, root=root)
    assert Path(first.run).parent == tmp_path / "runs" / "shapes" / "tiny-local"
    assert fit("tip", cache=cache, shots=2, root=root).run == first.run
    others = [
        fit("tip", cache=cache, shots=2, root=root, **change).run
        for change in ({"params": {"alpha": 2.0}}, {"prompts": "other"}, {"seed": 2}, {"select": "val"})
    ]
    assert len({first.run, *others}) == 5
    assert len(list(Path(first.run).parent.iterdir())) == 5


def test_the_saved_few_shot_set_reproduces_the_run(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    first = fit("tip", cache=cache, shots=3, seed=4, out=tmp_path / "a")
    again = fit("tip", cache=cache, shots=3, seed=1, indices=tmp_path / "a" / "indices.json", out=tmp_path / "b")
    assert same(weights(first), weights(again))
    assert again.indices == {"file": "indices.json", "digest": first.indices["digest"]}


def test_views_are_what_heads_learn_from(make_cache: Make, tmp_path: Path) -> None:
    with_views, without = make_cache(views=4), make_cache(views=4)
    without["train"].all_views = None
    first = fit("tip", cache=with_views, shots=2, out=tmp_path / "views")
    second = fit("tip", cache=without, shots=2, out=tmp_path / "images")
    assert first.accuracy["zero_shot"] == second.accuracy["zero_shot"]
    assert not same(weights(first), weights(second))


def test_an_out_folder_that_is_no_run_is_refused_before_any_work(make_cache: Make, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds 'notes.txt', which is not of a run"):
        fit("clip", cache=None, shots=1, out=tmp_path)  # type: ignore[arg-type]  # never looked at


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("clop", {}, "no method 'clop'"),
        ("tip", {"select": "test"}, "--select test given; expected one of"),
        ("tip", {"params": {"lr": 1}}, "tip has no option 'lr'; expected one of alpha, beta"),
        ("tip", {"shots": 99}, "--allow-fewer"),
    ],
)
def test_mistakes_end_in_one_line(
    make_cache: Make, tmp_path: Path, method: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AdapterError, match=message) as caught:
        fit(method, **{"cache": make_cache(), "shots": 1, "root": str(tmp_path), **arguments})
    assert "\n" not in str(caught.value)


def test_meta_learns_on_other_caches_and_says_so(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    report = fit("meta", cache=cache, shots=4, root=str(tmp_path), meta_train=[cache])
    assert f"learnt on 4 shots of {cache.name}" in report.note
    with pytest.raises(AdapterError, match="clip learns nothing from other data sets"):
        fit("clip", cache=cache, shots=4, root=str(tmp_path), meta_train=[cache])
    with pytest.raises(AdapterError, match="--meta-train with --calibrate"):
        fit("meta", cache=cache, shots=4, root=str(tmp_path), meta_train=[cache], calibrate=True, select="support")


def test_weights_learnt_on_another_encoder_are_refused(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    learnt = fit("meta", cache=cache, shots=4, root=str(tmp_path))
    assert (
        fit("meta", cache=cache, shots=2, root=str(tmp_path), params={"meta": learnt.run}).accuracy["test"] is not None
    )
    config = Path(learnt.run) / "config.json"
    content = json.loads(config.read_text())
    content["encoder"]["weights_sha256"] = "0" * 64
    del content[SEAL]
    config.write_text(json.dumps(content))
    with pytest.raises(AdapterError, match="learnt on another encoder"):
        fit("meta", cache=cache, shots=2, root=str(tmp_path), params={"meta": learnt.run})


def test_a_test_split_with_nothing_to_score_is_told_before_any_work(
    make_cache: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    cache["test"].labels[::2] = -1
    cache["test"].valid[1::2] = False
    monkeypatch.setattr("adapters.fitting.fit._fit", lambda *_: pytest.fail("a head was fitted"))
    with pytest.raises(TaskError, match="^no image of test in cache shapes-tiny has a label: type `adapters suggest"):
        fit("clip", cache=cache, shots=1, root=str(tmp_path))


def test_a_val_split_without_labels_is_as_none(make_cache: Make, tmp_path: Path) -> None:
    cache = make_cache()
    cache["val"].labels[:] = -1
    report = fit("zero-shot", cache=cache, shots=1, root=str(tmp_path))
    assert report.accuracy["val"] is None
    for select in ("val", "val-kshot"):
        with pytest.raises(TaskError, match=f"--select {select} needs a val split with labels, which cache"):
            fit("tip", cache=cache, shots=2, select=select, root=str(tmp_path))
