"""What can go wrong with heads, tasks and saved runs; a branch of `featcache.errors`.

    FeatcacheError
    └── AdapterError   a head cannot be built, fitted, used or saved as asked   (also ValueError)
        ├── TaskError  a few-shot task cannot be drawn from this cache
        └── RunError   a saved run cannot be read, or does not belong to this cache

Every message is one line that says what was given, what was expected and what to type instead.
"""

from __future__ import annotations

from featcache.errors import FeatcacheError


class AdapterError(FeatcacheError, ValueError):
    """A head cannot be built, fitted, used or saved as asked."""


class TaskError(AdapterError):
    """A few-shot task cannot be drawn from this cache."""


class RunError(AdapterError):
    """A saved run cannot be read, or does not belong to this cache."""
