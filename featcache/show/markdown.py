"""Other people's words within Markdown, where they mean nothing but themselves."""

from __future__ import annotations

import re

from featcache.errors import visible


def escaped(text: str) -> str:
    """A name as one piece of text: no markup, no HTML, no cell or line of a table ends in it."""
    return re.sub(r"[][\\`*_|<>&~]", _sign, " ".join(visible(text).splitlines()))


def _sign(found: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(found[0], "\\" + found[0])
