"""Which caches have embeddings as this one's would be, whose rows it may take.

An embedding is taken where all that could change it is the same: the file's bytes, the encoder with its transform and
precision, batch size, stored dtype, device and library versions. So what is taken is what would be encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from featcache.cache.catalogue import Listed
from featcache.cache.manifest import PRE_PROJECTION, views_of
from featcache.encoding.known_images import KnownImages, known_images

Identity = Mapping[str, Any]


def images_made_alike(
    caches: Sequence[Listed],
    identity: Identity,
    dataset: Mapping[str, Any],
    besides: str,
    identity_in: Callable[[Mapping[str, Any]], Identity],
) -> KnownImages | None:
    """The images of caches whose embeddings are what they would be here; None where there is no such image.

    Args:
        caches: All under the root.
        identity: Of the cache that is made.
        dataset: What lists its data set again, as its provenance tells.
        besides: The location of the cache that is made, which is left out.
        identity_in: The identity that a manifest records.
    """

    def of_this_set(listed: Listed) -> bool:
        return bool(listed.manifest["provenance"].get("request", {}).get("dataset") == dataset.get("dataset"))

    others = (listed for listed in caches if not listed.problem and listed.path != besides)
    alike = [(one, of_this_set(one)) for one in others if _made_alike(identity_in(one.manifest), identity)]
    return known_images(alike, views_of(identity), kept=PRE_PROJECTION in identity)


def _made_alike(there: Identity, here: Identity) -> bool:
    """Whether an image has the same embedding, but for its views, which other caches may not have."""
    decisive = set(here) - {"dataset", "views"}
    alike = all(there.get(key) == here[key] for key in decisive)
    return alike and (here["views"] is None or there["views"] is None or there["views"] == here["views"])
