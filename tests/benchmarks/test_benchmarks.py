"""Every benchmark runs, and both sides that it compares say the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import alpha_path, audit, balance, label_orders, scale

BENCHMARKS = {
    "alpha_path",
    "audit",
    "auto",
    "balance",
    "certified_top_k",
    "clip_recipe",
    "coverage",
    "defaults",
    "extract",
    "large",
    "many_trainings",
    "predict",
    "reject",
    "remote",
    "scale",
    "serve",
    "suggest",
    "whole_process",
}
PARTS = {"feature_sets", "label_orders", "made_up", "object_server", "plain_clip", "timing"}

Tables = Callable[..., Any]


def test_every_benchmark_is_here() -> None:
    files = {file.stem for file in Path(alpha_path.__file__).parent.glob("*.py")}
    assert files == BENCHMARKS | PARTS
    assert all(f"def test_{name}(" in Path(__file__).read_text() for name in BENCHMARKS)


def test_alpha_path(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(alpha_path.SIZES, "small", alpha_path.Size(80, 4, 4, 32, (7.0, 3.0)))
    ((row,),) = tables("alpha_path", "--sizes", "small", "--repeats", "1")
    best, exact, refined = (float(row[name].rstrip("%")) for name in ("grid's best", "(i)", "(ii)"))
    assert exact >= best >= float(row["zero-shot"].rstrip("%"))
    assert exact >= refined
    assert 0 < int(row["betas of (ii)"]) < 200


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured by Linux's /proc")
def test_certified_top_k(tables: Tables) -> None:
    sizes = ("--keys", "2000", "--classes", "5", "--queries", "40", "--dim", "32", "--repeats", "1")
    (rows,) = tables("certified_top_k", *sizes, "--neighbours", "0", "50", "--betas", "5.5")
    assert len(rows) == 4
    assert {row["equal"] for row in rows} == {"40 of 40"}
    (rows,) = tables("certified_top_k", "--index", "hnsw", *sizes, "--neighbours", "50", "--betas", "5.5")
    assert all(float(row["recall"].rstrip("%")) > 50 for row in rows)


def test_clip_recipe(tables: Tables, digits_root: Path) -> None:
    small = ("--shots", "2", "--seeds", "2", "--epochs", "5", "--lrs", "0.1", "--root", str(digits_root))
    ((row,),) = tables("clip_recipe", "--caches", "digits-tiny", *small, "--threads", "1")
    assert row["accuracy of the loop"] == row["of `fit`"]
    assert float(row["`fit` is faster"]) > 0


def test_extract(printed: Callable[..., str]) -> None:
    small = ("--model", "tiny", "--size", "40x30", "--seconds", "0.4", "--device", "cpu", "--workers", "0")
    lines = printed("extract", *small, "--batch-size", "8", "--decode", "exact", "fast").splitlines()
    sides = [line.split("  ")[1] for line in lines if "images/s" in line]
    assert sides[:3] == ["encoder alone", "decoding alone", "featcache extract (exact)"]
    assert "featcache extract (fast)" in sides
    waited = [line for line in lines if "waited: starting" in line]
    assert len(waited) == 2
    assert any("cosine to exact: mean" in line for line in lines)


def test_large(printed: Callable[..., str]) -> None:
    small = ("--classes", "5", "--shots", "2", "--rows", "100", "--dim", "64")
    names, *lines = printed("large", "zero-shot", *small).splitlines()
    (line,) = (line.split() for line in lines)
    assert names.split()[0] == "method"
    assert line[0] == "zero-shot"
    assert 0.5 < float(line[-1]) <= 1  # accuracy


def test_predict(tables: Tables) -> None:
    ((extraction, prediction),) = tables(
        "predict", "--images", "96", "--size", "40x30", "--repeats", "1", "--device", "cpu"
    )
    assert extraction["of extraction"] == "1.00"
    assert float(prediction["of extraction"]) > 0.01


def test_serve(tables: Tables) -> None:
    small = ("--clients", "3", "--seconds", "1", "--images", "2", "--size", "40x30", "--device", "cpu")
    ((predictor, served),) = tables("serve", *small)
    assert predictor["of the predictor"] == "1.00"
    assert served["errors"] == "none"
    assert 0 < float(served["median ms"]) <= float(served["p99 ms"])


def test_many_trainings(tables: Tables) -> None:
    small = ("--dims", "32", "--configs", "4", "--plain", "2", "--plain-epochs", "1", "--epochs", "2", "--repeats", "1")
    ((row,),) = tables("many_trainings", *small)
    assert float(row["than plain"]) > 0
    assert float(row["weights off float64"]) < 1e-4
    assert row["predictions that differ"] == "0 of 4000"


def test_remote(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")  # the benchmark sets them: so they are put back
    small = ("--rows", "1000", "--dim", "8", "--shards", "256", "--latency", "0", "--repeats", "1")
    (rows,) = tables("remote", *small, "--libraries", "obstore", "s3fs")
    requests = {name: [int(row[name].split("(")[1].strip(")")) for row in rows] for name in ("write", "prove", "load")}
    shards = 3 + 1 + 1
    assert rows[0]["plain GETs"].endswith(f" ({3 + 3 * 2 + 2 * shards})")
    assert requests["load"][0] == 3 + 3 * 2 + 2 * shards, "to load takes one request an object and no more"
    assert requests["prove"][0] == 1 + 3 + 2 * shards
    assert requests["write"][0] <= 180 + 5 * shards
    assert all(ours < by_s3fs for ours, by_s3fs in requests.values())


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """A file of features as `benchmarks.feature_sets` reads them: 30 classes around their texts."""
    rng = np.random.default_rng(0)
    text = rng.normal(size=(30, 32)).astype(np.float32)
    rows = {name: np.repeat(np.arange(30), n) for name, n in (("train16", 16), ("test", 4))}
    images = {f"{name}_features": text[y] + 0.6 * rng.normal(size=(len(y), 32)) for name, y in rows.items()}
    labels = {f"{name}_labels": y for name, y in rows.items()}
    path = tmp_path / "features.npz"
    np.savez(path, text_features=text, **{name: a.astype(np.float32) for name, a in images.items()}, **labels)
    return path


def test_defaults(tables: Tables, digits_root: Path, features: Path) -> None:
    asked = ("--methods", "gda", "--sets", "digits-tiny", str(features), "--root", str(digits_root), "--seeds", "1-2")
    (rows,) = tables("defaults", *asked, "--shots", "1,2")
    assert [row["set"] for row in rows] == ["digits-tiny", "features"]
    assert rows[0]["1 shots"].endswith("+0.0 ± 0.0")  # nothing can be left out
    assert "→" in rows[0]["2 shots"]


def test_auto(tables: Tables, features: Path) -> None:
    asked = ("--sets", str(features), f"{features}:noisy", "--methods", "tip", "--shots", "1,2", "--seeds", "1-1")
    (rows,) = tables("auto", *asked)
    assert [(row["set"], row["shots"]) for row in rows] == [
        ("features", "1"),
        ("features", "2"),
        ("features:noisy", "1"),
        ("features:noisy", "2"),
    ]
    assert all(float(row["auto"]) > 50 for row in rows[:2])


def test_audit(tables: Tables, features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SIZES", ((300, 5),))
    rows, timed = tables("audit", "--set", str(features), "--seeds", "1-1", "--speed")
    assert [row["flipped to"] for row in rows] == list(audit.KINDS)
    assert all(float(row["AUROC"]) > 0.98 and float(row["recall"]) > 0.8 for row in rows)
    assert [row["rows"] for row in timed] == ["300"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured by Linux's /proc")
def test_scale(tables: Tables, tmp_path: Path) -> None:
    (rows,) = tables("scale", "--rows", "3000", "--images-per-second", "10", "--folder", str(tmp_path))
    assert {row["rows"] for row in rows} == {"3,000"}
    assert set(dict.fromkeys(row["process"] for row in rows)) == set(scale.PROCESSES)
    assert "write 6 of 13 shards" in {row["step"] for row in rows}
    assert all(float(row["peak MB"].replace(",", "")) > 10 for row in rows)
    assert not list(tmp_path.iterdir())


def test_whole_process(tables: Tables, digits_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATCACHE_HOME", str(digits_root))
    (rows,) = tables("whole_process", "--repeats", "1", "--cache", "digits-tiny", "linear", "--shots", "1")
    seconds = {row["stage"]: float(row["seconds"]) for row in rows}
    assert {"import torch", "start, parse, save, exit", "fit", "in all"} <= set(seconds)
    assert sum(seconds.values()) == pytest.approx(2 * seconds["in all"], abs=0.1)


def test_balance(tables: Tables, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = rng.normal(size=(4, 8))
    content: dict[str, Any] = {"text_features": text}
    for split, rows in (("train16", 16), ("val", 10)):
        labels = np.repeat(np.arange(4), rows)
        content |= {f"{split}_labels": labels, f"{split}_features": text[labels] + rng.normal(size=(4 * rows, 8))}
    np.savez(tmp_path / "made.npz", **content)
    small = ("--heads", "taskres", "--seeds", "1-2", "--epochs", "3")
    (rows,) = tables("balance", "--sets", str(tmp_path / "made.npz"), *small)
    assert [(row["shots"], row["balance"]) for row in rows] == [
        ("unbalanced", "none"),
        ("unbalanced", "loss"),
        ("unbalanced", "logit"),
        ("balanced", "none"),
    ]
    assert rows[0]["above none"] == "0 of 2 / 0 of 2"
    assert balance.sizes(5, 16).tolist() == [16, 8, 4, 2, 1]


def test_reject(tables: Tables, digits_root: Path) -> None:
    small = ("--sets", "digits-tiny", "--shots", "2", "--seeds", "1-2", "--root", str(digits_root))
    (rows,) = tables("reject", *small)
    assert [row["score"] for row in rows][-1] == "likeness"
    for row in rows:
        area, passed = (float(number) for number in row["2 shots: AUROC, FPR"].split(", "))
        assert 0 <= passed <= 100
        assert 40 < area <= 100


def test_coverage(tables: Tables, digits_root: Path) -> None:
    (rows,) = tables("coverage", "--shots", "4", "--splits", "20", "--methods", "zero-shot", "--root", str(digits_root))
    assert [row["learned from"] for row in rows] == ["20 splits", "the shots"]
    for asked in (80, 90, 95):
        covered = float(rows[0][f"{asked} %: covered, size"].split(",")[0])
        assert abs(covered - asked) < 2.5
    assert abs(float(rows[0]["refuse 10 %"]) - 10) < 3


def test_suggest(tables: Tables, digits_root: Path, features: Path) -> None:
    small = ("--seeds", "0-1", "--a-class", "1,2", "--pool", "200", "--root", str(digits_root))
    (rows,) = tables("suggest", "--sets", "digits-tiny", str(features), "--heads", "linear", *small)
    assert [row["order"] for row in rows] == 2 * list(label_orders.ORDERS)
    assert {row["1 a class"].split(" (")[1] for row in rows if row["order"] == "random"} == {"+0.00 ± 0.00)"}
    better = {row["set"]: float(row["mean"]) for row in rows if row["order"] == "suggest"}
    assert all(mean > 0 for mean in better.values())
