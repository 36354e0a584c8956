"""One page for a browser as one file that asks for nothing: no network, no other file.

Templates are files beside this one, rendered by Jinja2, which escapes every name and id. The page's content security
policy names its one style and its one script by their digests and allows pictures that are part of the page; all else
is forbidden, so that a name which got past the escaping could still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.errors import AdapterError
from adapters.show.output_files import check_output
from featcache.errors import visible
from featcache.places.whole import write_whole
from featcache.version import package_version

if TYPE_CHECKING:
    from jinja2 import Environment

SUFFIXES = (".html", ".htm")
TEMPLATES = "templates"


def render(template: str, **content: Any) -> str:
    """A page by its template, which extends `shell.html`.

    Args:
        template: name of a file in `templates/`.
        content: what the template names; `title` at least.
    """
    style, script = _text("page.css"), _text("page.js")
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    shell = {"style": style, "script": script, "policy": policy, "version": package_version()}
    return _environment().get_template(template).render(**content, shell=shell)


def check_html_file(path: Path, option: str) -> None:
    """Refuse a file that could not be written after the work.

    Args:
        path: where to.
        option: what the path was given as, such as `--html`.

    Raises:
        AdapterError: it does not end in .html, or see `check_output`.
    """
    place = path.expanduser()
    if place.suffix.lower() not in SUFFIXES:
        raise AdapterError(f"{option} {path} given; expected a file that ends in {' or '.join(SUFFIXES)}")
    check_output(path, option)


def write_html(path: Path, page: str, option: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        AdapterError: it cannot be written.
    """
    try:
        write_whole(path.expanduser(), page.encode())
    except OSError as error:
        message = f"cannot write {path} ({error.strerror or error}): give another file as {option}"
        raise AdapterError(message) from error


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(__package__, TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Text without what steers a reader's eyes; markup, which is made of such, as it is."""
    return visible(value) if type(value) is str else value


@cache
def _text(name: str) -> Any:
    from markupsafe import Markup

    return Markup((files(__package__) / TEMPLATES / name).read_text(encoding="utf-8").strip())


def _hash(text: str) -> str:
    """As a content security policy writes it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
