"""A class more for a saved head: as if it had been there from the start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import adapters
import featcache
from adapters.abilities import TakesClasses
from adapters.adding.add import add, classes_given
from adapters.adding.prompts import prompts_like
from adapters.commands.saved.add import added_page
from adapters.errors import AdapterError, RunError
from adapters.fitting.fit import fit
from adapters.methods import METHODS
from adapters.runs.evaluate import evaluate
from featcache.cache.reading import Cache
from tests.pages import assert_all_is_told
from tests.pictures import draw_class_folders

ABLE = [name for name in METHODS if issubclass(METHODS[name], TakesClasses)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`all` has three classes, `some` the first two of them, and `new` the training images of the third."""
    folder = tmp_path_factory.mktemp("photos")
    for split, per_class in (("train", 4), ("test", 5)):
        draw_class_folders(folder / "all" / split, classes=3, per_class=per_class, seed=len(split))
        for name in ("class_0", "class_1"):
            shutil.copytree(folder / "all" / split / name, folder / "some" / split / name)
    shutil.copytree(folder / "all/train/class_2", folder / "new")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def caches(photos: Path, home: Path) -> tuple[Cache, Cache]:
    """Of two classes and of three; their rows of the same images are the same."""
    how = {"root": home, "keep": "pre-projection", "progress": False}  # which some of the heads need
    few, every = (featcache.extract("tiny", str(photos / name), **how) for name in ("some", "all"))
    return few, every


@pytest.mark.parametrize("method", ABLE)
def test_as_from_the_start(method: str, caches: tuple[Cache, Cache], photos: Path, home: Path) -> None:
    few, every = caches
    run = fit(method, cache=few, shots="all", select="none", root=str(home))
    grown = add(run.run, {"class 2": [photos / "new"]}, root=str(home))
    whole = fit(method, cache=every, shots="all", select="none", root=str(home))
    heads = [adapters.load(each.run) for each in (grown, whole)]
    X = every["test"].images
    first, second = (head.decision_function(X) for head in heads)
    assert first.shape == (15, 3)
    # Shots of a class are in the order of the draw there, of the folder here: sums round otherwise.
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4 * np.abs(second).max())
    assert heads[0].config["class_names"] == ["class 0", "class 1", "class 2"]
    assert heads[0].config["prompts"]["prompts"] == heads[1].config["prompts"]["prompts"]
    assert Path(run.run).exists()
    assert "-plus1-" in grown.run
    assert grown.classes == 3
    assert grown.images == whole.images == 12
    assert grown.accuracy["test"] == evaluate(grown.run, root=str(home)).accuracy


def test_a_name_alone(caches: tuple[Cache, Cache], home: Path) -> None:
    few, _ = caches
    run = fit("tip", cache=few, shots=2, root=str(home))
    grown = add(Path(run.run).name, {"owl": [], "fox": []}, root=str(home))
    head = adapters.load(grown.run)
    assert len(head.keys_) == 4
    assert head.decision_function(few["test"].images).shape == (10, 4)
    assert head.config["prompts"]["prompts"][2] == ["a photo of an owl."]
    assert grown.added == {"run": Path(run.run).name, "classes": {"owl": [], "fox": []}}
    assert "owl (0 images), fox (0 images) added to tip-2shot" in grown.note
    assert "of the other 2 classes alone" in grown.note
    assert_all_is_told(added_page(grown, str(home)))
    assert add(run.run, {"owl": [], "fox": []}, root=str(home)).run == grown.run  # the same again


@pytest.mark.parametrize("method", ["tip", "gda"])
def test_classes_may_be_added_one_after_the_other(
    method: str, caches: tuple[Cache, Cache], photos: Path, home: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(photos / "new", tmp_path / "new")
    run = fit(method, cache=caches[0], shots=3, root=str(home))
    first = add(run.run, {"class 2": [images]}, root=str(home))
    second = add(first.run, {"owl": []}, root=str(home))
    at_once = add(run.run, {"class 2": [images], "owl": []}, root=str(home), out=tmp_path / "at-once")
    assert second.added == at_once.added
    assert second.note == at_once.note
    X = caches[1]["test"].images
    one, other = (adapters.load(each.run).decision_function(X) for each in (second, at_once))
    assert one.shape == (15, 4)
    assert np.array_equal(one, other)
    assert add(at_once.run, {"fox": []}, root=str(home)).classes == 5  # the run that it was lies elsewhere
    with pytest.raises(AdapterError, match="class 'Owl' given, and there is 'owl'"):
        add(second.run, {"Owl": []}, root=str(home))
    shutil.rmtree(images)
    with pytest.raises(RunError, match=r"000.png of class class 2, .* is gone \(4 images are\): put it back"):
        add(second.run, {"fox": []}, root=str(home))
    shutil.rmtree(run.run)
    with pytest.raises(RunError, match="which is gone: fit that again"):
        add(second.run, {"fox": []}, root=str(home))


def test_a_refitted_head_keeps_what_it_learned_from_val(image_folder: object, home: Path, tmp_path: Path) -> None:
    draw_class_folders(tmp_path / "photos", classes=2, per_class=10)
    cache = featcache.extract("tiny", str(tmp_path / "photos"), root=home, name="with-val", progress=False)
    run = fit("tip", cache=cache, shots=2, refit=True, root=str(home))
    grown = add(run.run, {"class 2": sorted((tmp_path / "photos/class_1").iterdir())}, root=str(home))
    assert len(adapters.load(grown.run).keys_) == 4 + 10 + len(cache["val"])
    # What the head has learned from scores nobody: val is that of the head before it, as in a fit.
    before = add(fit("tip", cache=cache, shots=2, root=str(home)).run, grown.added["classes"], root=str(home))
    assert grown.accuracy["val"] == before.accuracy["val"]
    assert grown.refit["images"] == {"train": 14, "val": len(cache["val"])}
    assert grown.refit["test_before"] == before.accuracy["test"]


def test_others_say_which_methods_do(caches: tuple[Cache, Cache], home: Path) -> None:
    run = fit("linear", cache=caches[0], shots=2, root=str(home))
    message = f"linear learns by training, .* these take one as they are: {', '.join(ABLE)}"
    with pytest.raises(AdapterError, match=message):
        add(run.run, {"owl": []}, root=str(home))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"Class_0": []}, "class 'Class_0' given, and there is 'class 0': give a name that is new"),
        ({"owl": [], "Owl": []}, "class 'Owl' given, and there is 'owl'"),
        ({" ": []}, "a class without a name given"),
        ({}, "no class given: type `adapters add RUN NAME`"),
        ({"owl": ["gone"]}, "cannot read gone of class owl"),
    ],
)
def test_bad_input_is_one_line(
    classes: dict[str, list[str | Path]], message: str, caches: tuple[Cache, Cache], home: Path
) -> None:
    run = fit("zero-shot", cache=caches[0], shots=1, root=str(home))
    with pytest.raises(AdapterError, match=message) as caught:
        add(run.run, classes, root=str(home))
    assert "\n" not in str(caught.value)


def test_what_is_typed() -> None:
    assert classes_given(["owl", "fox=a/", "fox=b.jpg"]) == {"owl": [], "fox": ["a/", "b.jpg"]}
    with pytest.raises(AdapterError, match="owl= given without a path"):
        classes_given(["owl="])


def test_prompts_are_in_the_words_of_the_others() -> None:
    names = ("cat", "annual crop")
    prompts = (
        ("a photo of a cat.", "cat, seen from above"),
        ("a photo of an annual crop.", "annual crop, seen from above"),
    )
    assert prompts_like("owl", names, prompts) == ("a photo of an owl.", "owl, seen from above")
    letters = [[f"a photo of a letter {name}."] for name in "at"]  # which stand elsewhere in the sentence too
    assert prompts_like("c", "at", letters) == ("a photo of a letter c.",)
    same = [[f"a photo of a {name}."] for name in ("cat", "otter")]  # an article that is the sentence's
    assert prompts_like("owl", ("cat", "otter"), same) == ("a photo of a owl.",)
    with pytest.raises(RunError, match="are not one sentence for every class"):
        prompts_like("owl", names, (("whiskers",), ("a field",)))
    with pytest.raises(RunError, match="are not one sentence for every class"):
        prompts_like("owl", names, (("a cat.",), ("one annual crop.",)))


def test_the_saved_config_says_what_was_added(caches: tuple[Cache, Cache], photos: Path, home: Path) -> None:
    run = fit("gda", cache=caches[0], shots=2, root=str(home))
    grown = add(run.run, {"class 2": [photos / "new"]}, out=home / "elsewhere", root=str(home))
    added = json.loads((home / "elsewhere/config.json").read_text())["added"]
    assert added["run"] == Path(run.run).name
    assert [Path(path).name for path in added["classes"]["class 2"]] == [f"{n:03d}.png" for n in range(4)]
    assert grown.run == str(home / "elsewhere")
