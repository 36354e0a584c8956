"""Class names from what folders and tables call the classes."""

from __future__ import annotations

import pytest

from featcache.datasets.class_names import in_order, read_wordnet_names, says_nothing, spoken_names


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["cat", "dog"], ("cat", "dog")),
        (["AnnualCrop", "herbaceous_vegetation", "SeaLake"], ("Annual Crop", "herbaceous vegetation", "Sea Lake")),
        (["001.Black_footed_Albatross", "002.Laysan_Albatross"], ("Black footed Albatross", "Laysan Albatross")),
        (["1_cat", "2_dog", "10_bird"], ("cat", "dog", "bird")),
        (["18_wheeler", "bus"], ("18 wheeler", "bus")),  # a number that is not there for the order
        (["3_series", "5_series"], ("3 series", "5 series")),  # without it they would be one
        (["Cat", "cat"], ("Cat", "cat")),
        (["iPhone", "McDonald", "USAFlag"], ("iPhone", "McDonald", "USAFlag")),
        (["n01440764", "n01443537"], ("tench", "goldfish")),
        (["n00007846", "n01440764"], ("person", "tench")),  # the first is none of ImageNet's thousand
        (["n99999999", "cat"], ("n99999999", "cat")),
        (["a/airfield", "b/bakery/shop"], ("airfield", "bakery shop")),
        (["animal/dog/husky", "animal/cat/siamese"], ("husky", "siamese")),
        (["indoor/garage", "outdoor/garage"], ("indoor garage", "outdoor garage")),
        (["0", "1", "10"], ("0", "1", "10")),
    ],
)
def test_labels_are_spoken(labels: list[str], names: tuple[str, ...]) -> None:
    assert spoken_names(labels) == names


def test_names_that_the_data_brings_go_first() -> None:
    own = read_wordnet_names("n01440764 big fish, Tinca tinca\n\nno id here\nn01443537 goldfish, Carassius auratus\n")
    assert own == {"n01440764": "big fish", "n01443537": "goldfish"}
    assert spoken_names(["n01440764", "n01443537"], own) == ("big fish", "goldfish")


def test_numbers_come_in_their_own_order() -> None:
    assert in_order({"10", "9", "1", "2"}) == ["1", "2", "9", "10"]
    assert in_order(["10_b", "9_a"]) == ["9_a", "10_b"]
    assert in_order(["10", "9", "b"]) == ["10", "9", "b"]  # as text, where not all have one
    assert in_order(["1_b", "1_a", "2"]) == ["1_a", "1_b", "2"]


@pytest.mark.parametrize(("name", "nothing"), [("0", True), ("12-3", True), ("n99999999", True), ("A380", False)])
def test_what_says_nothing(name: str, nothing: bool) -> None:
    assert says_nothing(name) is nothing
