"""What the cards say: names, class names, prompts, and that they are whole."""

from __future__ import annotations

import pytest

from featcache.datasets.cards import Card, find_card, list_cards

CARDS = {card.name: card for card in list_cards()}


def test_the_cards_there_are() -> None:
    coops = "imagenet caltech101 oxford_pets stanford_cars flowers102 food101 fgvc_aircraft sun397 dtd eurosat ucf101"
    assert set(CARDS) == {*coops.split(), "cifar10", "cifar100", "digits"}


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_card_is_consistent(card: Card) -> None:
    prompts = card.prompts()
    assert next(iter(prompts)) == card.default_prompts
    names = card.class_names or tuple(f"class {i}" for i in range(card.classes))
    assert len(names) == len(set(names)) == card.classes
    for spec in prompts.values():
        assert len(spec.expand(names)) == card.classes
    assert card.licence
    assert card.citation
    assert card.source
    assert set(card.names) <= set(card.folders or card.names)
    assert card.embedded or "{root}" in card.by_hand
    if card.folders is not None:
        # Labels count the sorted folders, UCF101's without regard to capitals (classInd.txt: Hammering, HammerThrow).
        key = (lambda name: name.replace("_", "").lower()) if card.name == "ucf101" else str
        assert list(card.folders) == sorted(card.folders, key=key)
    if card.torchvision is not None:
        import torchvision.datasets

        assert hasattr(torchvision.datasets, card.torchvision)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("EuroSAT", "eurosat"),
        ("OxfordPets", "oxford_pets"),
        ("oxford-flowers", "flowers102"),
        ("Pets", "oxford_pets"),
        ("StanfordCars", "stanford_cars"),
        ("cifar-100", "cifar100"),
        ("FGVCAircraft", "fgvc_aircraft"),
        ("Caltech-101", "caltech101"),
    ],
)
def test_names_people_type(typed: str, name: str) -> None:
    card = find_card(typed)
    assert card is not None
    assert card.name == name


def test_no_two_cards_share_a_name() -> None:
    keys = [alias.replace("_", "").replace("-", "") for card in CARDS.values() for alias in (card.name, *card.aliases)]
    assert len(keys) == len(set(keys))


def test_eurosat_prompt_sets() -> None:
    prompts = CARDS["eurosat"].prompts()
    names = CARDS["eurosat"].class_names
    assert names is not None
    assert prompts["coop"].expand(names)[0] == ("a centered satellite photo of Annual Crop Land.",)
    assert prompts["openai"].expand(names)[9][2] == "a centered satellite photo of the lake or sea."
