"""Class names to put into a sentence, from what folders and tables call the classes.

| label | class name | |
|---|---|---|
| `001.Black_footed_Albatross` | Black footed Albatross | the number that orders the classes is taken off |
| `AnnualCrop` | Annual Crop | words written together are parted |
| `herbaceous_vegetation` | herbaceous vegetation | |
| `n01440764` | tench | WordNet's ids, by the data set's own list, else by open_clip's and timm's |
| `b/bakery/shop` | bakery shop | of folders in folders: what tells it from its neighbours |

Two labels never become one name: where they would, all keep the form in which they differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from featcache.datasets.shipped import wordnet_names
from featcache.prompts import reads_as

WORDNET_ID = re.compile(r"n\d{8}")
_NUMBER = re.compile(r"(\d+)(?:[ ._-]+(?=[^\W\d])|$)")
"""A number at the beginning, up to the word behind it."""
_ORDERS = re.compile(r"\d+\. *(?=[^\W\d])|0\d*[ ._-]+(?=[^\W\d])")
"""A number that can only be there for the order: with a dot, or with a zero in front."""
_WORD_ENDS = re.compile(r"(?<=[a-z][a-z])(?=[A-Z][a-z])")
"""Between the words of `AnnualCrop`; `iPhone` and `McDonald` are one."""


def in_order(labels: Collection[str]) -> list[str]:
    """Labels in the order in which a list of names is written: by their numbers where each has one of its own.

    `10` comes after `9`, which it does not as text; else as text, as torchvision's `ImageFolder` has it.
    """
    numbers = _numbers(labels)
    return sorted(labels) if numbers is None else [label for _, label in sorted(zip(numbers, labels, strict=True))]


def spoken_names(labels: Sequence[str], wordnet: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """(C,) class names of (C,) labels.

    Args:
        labels: Names of class folders, paths of them, or values of a column.
        wordnet: Names of WordNet ids, where the data set brings some along.
    """
    if not labels:
        return ()
    ids = [label for label in labels if WORDNET_ID.fullmatch(label)]
    known = {**(wordnet_names(ids) if ids else {}), **(wordnet or {})}
    forms: list[Callable[[str], str]] = [lambda label: _spoken(label, enumerated=_numbers(labels) is not None)]
    forms += [_spaced, str]
    for parts in _path_tails(labels):
        for form in forms:
            names = tuple(known.get(label, form(part)) or label for label, part in zip(labels, parts, strict=True))
            if len({reads_as(name) for name in names}) == len(labels):
                return names
    return tuple(labels)


def says_nothing(name: str) -> bool:
    """Whether a prompt with this name tells an encoder nothing: a number, or an id that nobody has a name for."""
    return bool(re.fullmatch(r"[\d\W_]*", name) or WORDNET_ID.fullmatch(name))


def read_wordnet_names(text: str) -> dict[str, str]:
    """Names from ImageNet's `LOC_synset_mapping.txt`: lines of an id and its words, the first of which is taken."""
    pairs = (line.strip().partition(" ") for line in text.splitlines())
    return {synset: words.split(",")[0].strip() for synset, _, words in pairs if WORDNET_ID.fullmatch(synset) and words}


def _numbers(labels: Collection[str]) -> list[int] | None:
    """The number at the beginning of each label; None where one has none, or two have the same."""
    found = [_NUMBER.match(label) for label in labels]
    numbers = [int(match[1]) for match in found if match]
    return numbers if len(set(numbers)) == len(labels) else None


def _spoken(label: str, *, enumerated: bool) -> str:
    bare = re.sub(r"^\d+[ ._-]+(?=[^\W\d])", "", label) if enumerated else _ORDERS.sub("", label, count=1)
    return _spaced(_WORD_ENDS.sub(" ", bare))


def _spaced(label: str) -> str:
    return " ".join(re.sub(r"[_/]", " ", label).split())


def _path_tails(labels: Sequence[str]) -> list[Sequence[str]]:
    """What may stand for each path: all of it below the folders that only group, then ever more of it."""
    paths = [label.split("/") for label in labels]
    shallowest = min(map(len, paths))
    return [["/".join(path[start:]) for path in paths] for start in range(shallowest - 1, -1, -1)]
