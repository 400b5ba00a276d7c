"""What a take says of its colours: how each segment was anchored, and how well segments join. Knows no take."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message, expect


@dataclass(frozen=True, kw_only=True)
class Grade(Message):
    """A colour correction of display-encoded sRGB, 0..1: each channel times its gain plus its offset."""

    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    """Both of red, green, blue."""

    def __post_init__(self) -> None:
        given = (len(self.gains), len(self.offsets))
        expect(given == (3, 3), "grade", f"of {given[0]} gains and {given[1]} offsets", "three of each")


@dataclass(frozen=True, kw_only=True)
class SeamRecord(Message):
    """The join of two segments, as generated (before) and as delivered (after)."""

    frame: int
    """Shot number of the first frame of the later segment."""
    colour_before: float
    """Mean CIEDE2000 between both segments' renderings of the frames that were handed over, where they are seen."""
    colour_after: float
    motion_before: float | None
    """How much more motion changes at the join than around it, as a ratio; 1 is a join that nobody sees. Nothing where
    too few frames surround it."""
    motion_after: float | None
