"""Which frames of a finished take are made anew. Knows no folder and no job."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message, expect


@dataclass(frozen=True, kw_only=True)
class Retake(Message):
    """Frames that the next take renders anew; all others are those of the take before, bit for bit."""

    first: int
    last: int
    """Shot numbers, inclusive. The new frames blend into the kept ones inside of them."""
    seed: int | None = None
    """Of the new frames; None is the settings' own, which only makes a difference when the settings do."""

    def __post_init__(self) -> None:
        expect(
            0 <= self.first <= self.last, "retake", f"{self.first}-{self.last}", "two shot numbers, the first no later"
        )
        expect(self.seed is None or 0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0 to 2^63-1")
