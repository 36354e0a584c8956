from __future__ import annotations

from featcache.commands.text import prompt_sets_page
from tests.pages import assert_all_is_told, texts


def test_all_is_told_at_any_width() -> None:
    sets = [
        {
            "name": name,
            "prompts": 80,
            "example": "a centered satellite photo of " + "a large airport, " * 20 + "seen from above.",
        }
        for name in ("coop", "a_set_of_prompts_from_a_file_with_a_long_name")
    ]
    page = prompt_sets_page({"added": sets[1]["name"], "default": "coop", "by_default": ["ant"], "sets": sets})
    assert_all_is_told(page)
    told = "1 class has no prompts in the file and takes the default's: ant"
    assert {"coop (default)", sets[1]["name"], f"Added {sets[1]['name']}", told} <= set(texts(page))
