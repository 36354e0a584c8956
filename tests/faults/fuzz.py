"""A reader fed with bytes that Atheris makes up, guided by which of our lines they reach.

    python -m tests.faults.fuzz TARGET FOLDER CORPUS -max_total_time=60 -seed=1

FOLDER is one that the target may change: a finished cache, or empty. What libFuzzer understands may follow. It ends at
the first error that is not the library's own, and tells the bytes.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["featcache", "adapters"]):
    import featcache
    from featcache.cache.catalogue import locate
    from featcache.errors import FeatcacheError
    from featcache.records import SEAL, digest, sealed
    from featcache.verification.verify import verify_store
    from tests.faults.readers import READERS

Target = Callable[[Path, bytes], object]


def mended(content: bytes) -> bytes:
    """The same with digests that are right, so that what lies behind them is reached; no JSON stays as it is."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(value, dict):
        return content
    with contextlib.suppress(ValueError, RecursionError, TypeError):
        if "identity" in value:
            value["digest"] = digest(value["identity"])
        value = sealed({key: part for key, part in value.items() if key != SEAL})
        return json.dumps(value).encode()
    return content


def manifest(folder: Path, content: bytes) -> None:
    """All that is read of a cache under this manifest, and all that is verified."""
    for written in (content, mended(content)):
        (folder / "manifest.json").write_bytes(written)
        with contextlib.suppress(FeatcacheError):
            cache = featcache.open(folder)
            for split in cache.splits:
                part = cache[split]
                for name in ("ids", "labels", "valid", "images", "views", "content"):
                    getattr(part, name)
            _ = cache.text
        with contextlib.suppress(FeatcacheError):
            verify_store(locate(folder))


def config(folder: Path, content: bytes) -> None:
    """A config, as it is and with a digest that is right."""
    for written in (content, mended(content)):
        with contextlib.suppress(FeatcacheError):
            READERS["config"](folder, written)


def weights(folder: Path, content: bytes) -> None:
    """A safetensors file whose config vouches for it."""
    with contextlib.suppress(FeatcacheError):
        READERS["weights"](folder, content)


TARGETS: dict[str, Target] = {"manifest": manifest, "config": config, "weights": weights}


def main() -> None:
    """Fuzz as the command line says."""
    name, folder, *rest = sys.argv[1:]
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *rest], lambda content: target(Path(folder), content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
