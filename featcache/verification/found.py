"""What `verify` found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from featcache.cache.plan import Shard


@dataclass
class Verification:
    """What was found.

    Attributes:
        rows: Rows checked, of each split.
        finished: Whether the cache was ever finished.
        missing: Rows that are not done; none of a finished cache may be.
        unreadable: Rows whose image could not be read.
        problems: One line each; empty means that the cache is complete and undamaged.
        shards: Shards to encode again: damaged, or missing from a finished cache.
        listings: Splits whose ids or labels are damaged.
        prompt_sets: Prompt sets that are damaged.
        projections: Whether the kept projections are damaged.
        files: Small files that are damaged and can be written again.
        sampled: Rows that were encoded again.
        identical: Of those, rows that came out the same bit for bit.
        largest_difference: Largest 1 - cosine between stored and new embedding; None without a sample.
        repaired: Whether what is damaged was removed.
        made_by: The command that made the cache, and makes again what a repair removes.
        imported: Whether its embeddings were made elsewhere: nothing can be encoded again.
    """

    rows: dict[str, int] = field(default_factory=dict)
    finished: bool = False
    missing: int = 0
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    listings: list[str] = field(default_factory=list)
    prompt_sets: list[str] = field(default_factory=list)
    projections: bool = False
    files: list[str] = field(default_factory=list)
    sampled: int = 0
    identical: int = 0
    largest_difference: float | None = None
    repaired: bool = False
    made_by: str = "featcache extract"
    imported: bool = False

    @property
    def damaged(self) -> bool:
        """Whether there is anything that a repair would remove."""
        return bool(self.shards or self.listings or self.prompt_sets or self.projections or self.files)

    def to_json(self) -> dict[str, Any]:
        """The object that `featcache verify --json` prints."""
        return {
            "ok": not self.problems,
            "rows": self.rows,
            "finished": self.finished,
            "missing": self.missing,
            "unreadable": self.unreadable,
            "problems": self.problems,
            "damaged_rows": sum(map(len, self.shards)),
            "sampled": self.sampled,
            "identical": self.identical,
            "largest_difference": self.largest_difference,
            "repaired": self.repaired,
            "imported": self.imported,
        }
