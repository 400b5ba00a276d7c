"""Which frames of a finished take are made anew, and how they join the others. Knows no folder and no job."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .errors import BadInput
from .messages import Message, expect


@dataclass(frozen=True, kw_only=True)
class Blend(Message):
    """How a segment that was rendered again lies over what was there before it."""

    first: int
    last: int
    """Shot numbers of the frames in which it is seen, inclusive."""
    enter: int
    leave: int
    """Frames at the beginning and at the end of them in which it is seen in part."""

    def weight(self, number: int) -> float:
        """How much of it frame `number` shows: 0 is nothing, 1 is nothing else; even and smooth in between."""
        if not self.first <= number <= self.last:
            return 0.0
        rising = (number - self.first + 1) / (self.enter + 1)
        falling = (self.last - number + 1) / (self.leave + 1)
        t = min(rising, falling, 1.0)
        return t * t * (3.0 - 2.0 * t)

    def moved(self, by: int) -> Blend:
        """The same, its numbers counted `by` higher."""
        return replace(self, first=self.first + by, last=self.last + by)


@dataclass(frozen=True, kw_only=True)
class Retake(Message):
    """Frames that the next take renders anew; all others are those of the take before, bit for bit."""

    first: int
    last: int
    """Shot numbers, inclusive. The new frames blend into the kept ones inside of them."""
    seed: int | None = None
    """Of the new frames; None is the settings' own, which only makes a difference when the settings do."""

    @classmethod
    def read(cls, frames: str, seed: int | None) -> Retake:
        """From what a command line says, such as "1040-1060" or "1040". Raises `BadInput`."""
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", frames)
        if not found:
            raise BadInput(f"the frames of the re-take are {frames!r}; give shot numbers, as 1040-1060")
        return cls(first=int(found[1]), last=int(found[2] or found[1]), seed=seed)

    def __post_init__(self) -> None:
        expect(
            0 <= self.first <= self.last, "retake", f"{self.first}-{self.last}", "two shot numbers, the first no later"
        )
        expect(self.seed is None or 0 <= self.seed < 2**63, "seed", self.seed, "a whole number from 0 to 2^63-1")
