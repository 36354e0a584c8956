"""What a request may cost, and what is answered to one that would cost more."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on requests; a request over one is refused with the status that stands beside.

    Attributes:
        body: bytes of a request (413).
        bodies: bytes of all requests that are being read or answered (503).
        images: of a request (413).
        pixels: of an image (an error of that image; 422 where no image of the request can be read).
        seconds: for a request's body to arrive (408), and then for its answer (503).
        head: seconds for a request's line and headers to arrive, which then ends with the connection.
        waiting: images that wait for the encoder (503).
        connections: at once (503).
    """

    body: int = 32 * 2**20
    bodies: int = 256 * 2**20
    images: int = 64
    pixels: int = 50_000_000
    seconds: float = 30.0
    head: float = 10.0
    waiting: int = 1024
    connections: int = 512

    def to_json(self) -> dict[str, float]:
        """The bounds by name."""
        return asdict(self)
