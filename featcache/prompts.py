"""Prompts: the sentences that stand for each class.

Two forms exist in the literature. *Templates* (CLIP, CoOp) are sentences with a hole, shared by all classes:
"a photo of a {}.". *Per-class lists* (CuPL, Pratt et al. 2023) are finished sentences, written for each class.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featcache.errors import PromptError
from featcache.records import parse_json

PLACEHOLDERS = ("{}", "{c}")
ARTICLE = "{a}"
_SPOKEN_WITH_A_VOWEL = re.compile(
    r"(?!(?i:eu|ewe|one(?![a-z])|u[bkrst][aeiou]|uni(?!nt)))(?i:[aeiou])"  # not: European, one, utility, unicorn
    r"|(?:[FHLMNRSX](?![a-z])|x-)(?!$)"  # spelled out: MRI, X-ray
)
"""Beginnings before which English says `an`."""


@dataclass(frozen=True)
class PromptSpec:
    """One prompt set: exactly one of `templates` and `per_class` is given.

    Attributes:
        templates: Sentences in which `{}` or `{c}` stands for the class name.
        per_class: Finished sentences for each class name; a placeholder in them is filled in as well.
        class_names: (C,) names to use in place of the data set's own, in the data set's class order. A set has its
            own when the literature words the classes differently (EuroSAT: "Annual Crop Land" or "annual crop land").

    Raises:
        PromptError: Both forms or none, an empty list, or a template without a placeholder.
    """

    templates: tuple[str, ...] | None = None
    per_class: Mapping[str, tuple[str, ...]] | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.templates is None) == (self.per_class is None):
            raise PromptError("a prompt set has either templates or prompts per class: give exactly one of the two")
        if self.templates is not None:
            _check_templates(self.templates)
        if self.per_class is not None:
            _check_per_class(self.per_class)

    def expand(self, class_names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Write out the prompts of each class.

        Args:
            class_names: (C,) the data set's class names; `self.class_names` goes before them where it is given.

        Returns:
            (C,) tuples of prompts. Templates give every class the same number; per-class lists may not.

        Raises:
            PromptError: The set's own names are not C in number, or a class has no prompts.
        """
        names = self.names(class_names)
        if self.templates is not None:
            return tuple(tuple(fill(template, name) for template in self.templates) for name in names)
        assert self.per_class is not None  # __post_init__
        by_key = {reads_as(name): prompts for name, prompts in self.per_class.items()}
        missing = [name for name in names if reads_as(name) not in by_key]
        if missing:
            raise PromptError(_missing_classes(missing, len(names), list(self.per_class)))
        return tuple(tuple(fill(prompt, name) for prompt in by_key[reads_as(name)]) for name in names)

    def names(self, class_names: Sequence[str]) -> tuple[str, ...]:
        """(C,) class names that the prompts are about: the set's own where it has them.

        Raises:
            PromptError: The set's own names are not as many as the data set's classes.
        """
        if self.class_names is None:
            return tuple(class_names)
        if len(self.class_names) != len(class_names):
            raise PromptError(
                f"the prompt set has {len(self.class_names)} class names, the data set has {len(class_names)} classes: "
                "give one name for each class, in the data set's order"
            )
        return self.class_names

    def to_json(self) -> dict[str, Any]:
        """The set as plain JSON values, for the cache's manifest."""
        return {
            "templates": list(self.templates) if self.templates is not None else None,
            "per_class": {k: list(v) for k, v in self.per_class.items()} if self.per_class is not None else None,
            "class_names": list(self.class_names) if self.class_names is not None else None,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PromptSpec:
        """The inverse of `to_json`."""
        templates, per_class, names = content["templates"], content["per_class"], content["class_names"]
        return cls(
            templates=None if templates is None else tuple(templates),
            per_class=None if per_class is None else {name: tuple(prompts) for name, prompts in per_class.items()},
            class_names=None if names is None else tuple(names),
        )


def completed(spec: PromptSpec, others: PromptSpec, class_names: Sequence[str]) -> tuple[PromptSpec, tuple[str, ...]]:
    """A set whose prompts cover some classes only, with those of another set for the rest, and the names of that rest.

    Args:
        spec: the set; where it covers all classes, or has templates, it stays as it is.
        others: what the rest takes.
        class_names: (C,) the data set's class names.

    Raises:
        PromptError: It covers no class, or a name in it is near one that is not covered: a slip of the pen.
    """
    if spec.per_class is None:
        return spec, ()
    names = spec.names(class_names)
    given = {reads_as(name) for name in spec.per_class}
    missing = [index for index, name in enumerate(names) if reads_as(name) not in given]
    unknown = given - {reads_as(name) for name in names}
    slips = [names[i] for i in missing if difflib.get_close_matches(reads_as(names[i]), list(unknown), n=1)]
    if len(missing) == len(names) or slips:
        raise PromptError(_missing_classes(slips or [names[i] for i in missing], len(names), list(spec.per_class)))
    theirs = others.expand(class_names)
    per_class = {**spec.per_class, **{names[i]: theirs[i] for i in missing}}
    return replace(spec, per_class=per_class), tuple(names[i] for i in missing)


def fill(template: str, class_name: str) -> str:
    """Put a class name into a template, underscores as spaces ("annual_crop" reads "annual crop").

    `{a}` becomes the article that goes before the name: "a photo of {a} {}." gives "a photo of an annual crop.".
    Plain replacement, not `str.format`: class names and prompts may hold braces of their own.
    """
    name = class_name.replace("_", " ")
    template = template.replace(ARTICLE, _article(name))
    for placeholder in PLACEHOLDERS:
        template = template.replace(placeholder, name)
    return template


def _article(name: str) -> str:
    """`a` or `an`, by how a name is most likely spoken."""
    return "an" if _SPOKEN_WITH_A_VOWEL.match(name) else "a"


def reads_as(class_name: str) -> str:
    """What a class name is compared by: case, underscores and spacing do not count ("Annual_Crop" is "annual crop")."""
    return " ".join(class_name.replace("_", " ").casefold().split())


def read_prompts(path: Path | str) -> PromptSpec:
    """Read a prompt set from a file.

    Three forms, told apart by the first character that is not blank:

    * text, one template a line; blank lines and lines that start with `#` are left out;
    * a JSON list of templates;
    * a JSON object `{class name: [prompt, ...]}` (CuPL's form).

    Raises:
        PromptError: The file is not there, cannot be read as one of these, or fails `PromptSpec`'s checks.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise PromptError(
            f"cannot read prompts from {path}: {reason}; give a text file with one template a line, or JSON"
        ) from error
    try:
        return _parse(text)
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from None


def _parse(text: str) -> PromptSpec:
    if text.lstrip()[:1] not in ("[", "{") or _looks_like_template(text):
        lines = (line.strip() for line in text.splitlines())
        return PromptSpec(templates=tuple(line for line in lines if line and not line.startswith("#")))
    try:
        value = parse_json(text)
    except ValueError as error:
        raise PromptError(str(error)) from error
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return PromptSpec(templates=tuple(value))
    if isinstance(value, dict) and all(
        isinstance(prompts, list) and all(isinstance(prompt, str) for prompt in prompts) for prompts in value.values()
    ):
        return PromptSpec(per_class={name: tuple(prompts) for name, prompts in value.items()})
    raise PromptError('JSON prompts are a list ["a photo of a {}."] or an object {"class name": ["prompt", ...]}')


def _looks_like_template(text: str) -> bool:
    """A text file's first template may itself start with the placeholder: "{} in the wild"."""
    return text.lstrip().startswith(PLACEHOLDERS)


def _check_templates(templates: tuple[str, ...]) -> None:
    if not templates:
        raise PromptError('no templates: give at least one, for example "a photo of a {}."')
    for template in templates:
        if not any(placeholder in template for placeholder in PLACEHOLDERS):
            raise PromptError(
                f'template "{template}" has no place for the class name: write {{}} there, as in "a photo of a {{}}."'
            )


def _check_per_class(per_class: Mapping[str, tuple[str, ...]]) -> None:
    if not per_class:
        raise PromptError('no prompts: give {"class name": ["prompt", ...]} for each class')
    seen: dict[str, str] = {}
    for name, prompts in per_class.items():
        if not prompts or not all(prompt.strip() for prompt in prompts):
            raise PromptError(f'class "{name}" has an empty list of prompts or an empty prompt: give it at least one')
        if reads_as(name) in seen:
            raise PromptError(f'classes "{seen[reads_as(name)]}" and "{name}" are the same name: keep one of them')
        seen[reads_as(name)] = name


def _missing_classes(missing: list[str], total: int, given: list[str]) -> str:
    first = missing[0]
    near_keys = difflib.get_close_matches(reads_as(first), [reads_as(name) for name in given], n=3)
    near = [next(name for name in given if reads_as(name) == key) for key in near_keys]
    hint = f" (did you mean {', '.join(repr(name) for name in near)}?)" if near else ""
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return (
        f'no prompts for {len(missing)} of {total} classes: "{first}"{hint}{others}; '
        "add a key with a list of prompts for each class"
    )
