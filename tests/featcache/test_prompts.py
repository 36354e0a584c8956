"""Prompt sets: templates, per-class lists, their files and their mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from featcache.errors import PromptError
from featcache.prompts import PromptSpec, completed, fill, read_prompts

NAMES = ("Annual_Crop", "River", "Sea or Lake")


def test_templates_are_filled_for_each_class() -> None:
    spec = PromptSpec(templates=("a photo of a {}.", "{c}, seen from {c}"))
    assert spec.expand(NAMES)[0] == ("a photo of a Annual Crop.", "Annual Crop, seen from Annual Crop")
    assert [len(prompts) for prompts in spec.expand(NAMES)] == [2, 2, 2]


def test_braces_that_are_no_placeholder_stay() -> None:
    assert fill("a {} in {braces}, 50 {%}", "cat") == "a cat in {braces}, 50 {%}"


def test_own_class_names_go_before_the_data_set_s() -> None:
    spec = PromptSpec(templates=("a {}",), class_names=("annual crop land", "river", "lake or sea"))
    assert spec.expand(NAMES)[2] == ("a lake or sea",)
    with pytest.raises(PromptError, match=r"has 3 class names, the data set has 2 classes"):
        spec.expand(NAMES[:2])


def test_per_class_lists_match_whatever_the_spelling_and_keep_their_lengths() -> None:
    spec = PromptSpec(per_class={"annual crop": ("fields",), "RIVER": ("water", "a {} bends"), "sea_or_lake": ("x",)})
    assert spec.expand(NAMES) == (("fields",), ("water", "a River bends"), ("x",))


def test_a_missing_class_is_named_with_the_count_and_near_names() -> None:
    spec = PromptSpec(per_class={"Anual crop": ("fields",), "River": ("water",)})
    with pytest.raises(PromptError) as error:
        spec.expand(NAMES)
    assert "no prompts for 2 of 3 classes" in str(error.value)
    assert "\"Annual_Crop\" (did you mean 'Anual crop'?) and 1 more" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one"),
        ({"templates": ("{}",), "per_class": {"a": ("b",)}}, "exactly one"),
        ({"templates": ()}, "no templates"),
        ({"templates": ("a photo",)}, r'"a photo" has no place for the class name: write \{\} there'),
        ({"per_class": {}}, "no prompts"),
        ({"per_class": {"River": ()}}, '"River" has an empty list'),
        ({"per_class": {"River": (" ",)}}, "empty prompt"),
        ({"per_class": {"a b": ("x",), "A_B": ("y",)}}, '"a b" and "A_B" are the same name'),
    ],
)
def test_sets_that_make_no_sense(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PromptSpec(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "templates"),
    [
        ("# CLIP's\n\na photo of a {}.\n  a {c}  \n", ("a photo of a {}.", "a {c}")),
        ("{} in the wild\n{c}!", ("{} in the wild", "{c}!")),
        ('\ufeff["a {}", "the {}"]', ("a {}", "the {}")),
    ],
)
def test_template_files(tmp_path: Path, text: str, templates: tuple[str, ...]) -> None:
    file = tmp_path / "prompts"
    file.write_text(text, encoding="utf-8")
    assert read_prompts(file) == PromptSpec(templates=templates)


def test_cupl_files(tmp_path: Path) -> None:
    file = tmp_path / "cupl.json"
    file.write_text(json.dumps({"River": ["A river winds.", "Water."], "Café": ["x"]}), encoding="utf-8")
    assert read_prompts(str(file)).expand(("river", "café")) == (("A river winds.", "Water."), ("x",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no templates"),
        ("# only a comment\n", "no templates"),
        ("[]", "no templates"),
        ("{ }", "no prompts"),
        ('["a photo"]', "no place for the class name"),
        ('{"River": "not a list"}', "JSON prompts are a list"),
        ("[1]", "JSON prompts are a list"),
        ('["a {}"', "it is not JSON .*line 1"),
    ],
)
def test_files_that_make_no_sense_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "prompts.json"
    file.write_text(text)
    with pytest.raises(PromptError, match=rf"prompts\.json: .*{message}"):
        read_prompts(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"cannot read prompts from .*nothing: No such file"):
        read_prompts(tmp_path / "nothing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x9c")
    with pytest.raises(PromptError, match="not UTF-8 text"):
        read_prompts(tmp_path / "binary")


def test_prompts_and_canonical_names_import_neither_torch_nor_open_clip() -> None:
    code = (
        "import sys, featcache.prompts, featcache.encoders.models as m; m.canonical('ViT-B/16');"
        "sys.exit(bool({'torch', 'open_clip', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_prompts_of_some_classes_are_completed_by_other_prompts() -> None:
    own = PromptSpec(templates=("a photo of {a} {}.",))
    some = PromptSpec(per_class={"River": ("A river winds.",)})
    whole, rest = completed(some, own, ("river", "orchard"))
    assert whole.expand(("river", "orchard")) == (("A river winds.",), ("a photo of an orchard.",))
    assert rest == ("orchard",)
    assert completed(own, some, ("river",)) == (own, ())
    wide = PromptSpec(per_class={"river": ("x",), "a lake": ("y",)})
    assert completed(wide, own, ("river",)) == (wide, ())


def test_a_slip_of_the_pen_is_no_class_left_out() -> None:
    own = PromptSpec(templates=("{}",))
    slip = PromptSpec(per_class={"River": ("x",), "Orchrad": ("y",)})
    with pytest.raises(PromptError, match='no prompts for 1 of 3 classes: "orchard" .did you mean .Orchrad.'):
        completed(slip, own, ("river", "orchard", "sea"))
    with pytest.raises(PromptError, match="no prompts for 2 of 2 classes"):
        completed(PromptSpec(per_class={"zebra": ("x",)}), own, ("river", "sea"))
