"""The sources in the order in which they are asked: what `--dataset` takes beside the names of `featcache datasets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featcache.errors import DataError
from featcache.named import Named

if TYPE_CHECKING:
    from featcache.datasets.sources.source import Asked, Source

SOURCES: Named[Source] = Named(
    "source",
    {
        "csv": "featcache.datasets.sources.csv_file:CSV",
        "tars": "featcache.datasets.sources.tars:TARS",
        "tables": "featcache.datasets.sources.image_tables:IMAGE_TABLES",
        "metadata": "featcache.datasets.sources.metadata_file:METADATA_FILE",
        "folders": "featcache.datasets.sources.class_folders:CLASS_FOLDERS",
        "hub": "featcache.datasets.sources.hub:HUB",
    },
    DataError,
)
"""The list: a source's name, and where it is. The first that recognises what was typed opens it."""


def what_can_be_given() -> str:
    """All sources, as an error offers them."""
    *kinds, last = (source.typed for source in SOURCES.values())
    return f"{', '.join(kinds)} or {last}"


def source_of(asked: Asked) -> Source:
    """The first source that recognises what was typed.

    Raises:
        DataError: None does.
    """
    for source in SOURCES.values():
        if source.recognises(asked):
            return source
    problem = "is nothing that can be opened" if asked.exists else "does not exist"
    raise DataError(f"{asked.where if asked.exists else asked.dataset} {problem}: give {what_can_be_given()}")
