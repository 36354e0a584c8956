"""What can go wrong, as one tree.

    FeatcacheError
    ├── DataError            a data set that cannot be listed or read   (also ValueError)
    │   └── ImageError       one image that cannot be decoded
    ├── ModelError           an encoder that cannot be resolved or loaded (also ValueError)
    ├── PromptError          prompt templates that make no sense         (also ValueError)
    └── CacheError           the store on disk
        ├── CacheNotFound    nothing there                               (also FileNotFoundError)
        ├── CacheMismatch    there, but made from something different
        ├── CacheLocked      another run is writing it
        └── CacheIncomplete  rows are missing or damaged

Every message is one line that says what was given, what was expected and what to type instead; the command lines
print it as it is and end with exit status 2.
"""

from __future__ import annotations


class FeatcacheError(Exception):
    """Base of every error that a user can mend."""


class DataError(FeatcacheError, ValueError):
    """A data set cannot be found, listed or read."""


class ImageError(DataError):
    """One image cannot be decoded; the message is the reason, without the image's name."""


class ModelError(FeatcacheError, ValueError):
    """An encoder cannot be resolved or loaded."""


class PromptError(FeatcacheError, ValueError):
    """Prompt templates cannot be read or do not fit the classes."""


class CacheError(FeatcacheError):
    """Something is wrong with a cache."""


class CacheNotFound(CacheError, FileNotFoundError):  # noqa: N818 - named as the reader will say it
    """No cache of that name or at that path."""


class CacheMismatch(CacheError):  # noqa: N818
    """The cache was made from something different; the message names the difference."""


class CacheLocked(CacheError):  # noqa: N818
    """Another run is writing this cache."""


class CacheIncomplete(CacheError):  # noqa: N818
    """Rows are missing or damaged."""


def in_a_line(error: BaseException) -> str:
    """What another library's error says, in one line."""
    return " ".join(str(error).split())


JOINERS = "\u200c\u200d"
"""What Persian, Indian scripts and emoji need within words."""


def visible(text: str) -> str:
    """Names, ids and other people's words as they may be printed: what would steer a terminal is shown escaped.

    That is every control, formatting and bidirectional character, but for line feeds and joiners.
    """
    return "".join(
        letter
        if letter.isprintable()
        or (letter.isspace() and letter not in "\t\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029")
        or letter in JOINERS
        else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )
