"""What is done to generated frames on their way into a take. No segment depends on it, so it can be chosen anew."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message, expect


@dataclass(frozen=True, kw_only=True)
class Finish(Message):
    """How generated frames become layers. Another finish of the same settings renders nothing again."""

    feather: float | None = None
    """Plate pixels over which the composite's alpha falls to 0 at the region's edge; None is a fortieth of the plate's
    short side."""

    def __post_init__(self) -> None:
        expect(
            self.feather is None or 0.0 <= self.feather <= 4096.0,
            "feather",
            self.feather,
            "0 to 4096 pixels, or nothing",
        )
