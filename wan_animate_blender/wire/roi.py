"""Which part of each plate a model worked on. Knows no folder and no pixels."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message, expect


@dataclass(frozen=True, kw_only=True)
class Roi(Message):
    """A region of interest: one size for the whole shot, in another place in each frame.

    The model's picture is that part of the plate, its right and lower edge repeated to whole blocks, each `block`×
    `block` pixels of it as 16×16 pixels of the model's: the plate's point x becomes (x − `x[i]`)·16/`block`, where a
    picture's first pixel has its centre at 0.5.
    """

    width: int
    height: int
    """Of the part, in plate pixels."""
    block: int
    """At least 16: nothing is enlarged."""
    x: tuple[int, ...]
    y: tuple[int, ...]
    """The plate's pixel that is the part's first, for each frame of the shot."""

    def __post_init__(self) -> None:
        expect(
            min(self.width, self.height) >= 1, "region of interest", f"{self.width}×{self.height}", "1×1 pixels or more"
        )
        expect(self.block >= 16, "block", self.block, "16 or more plate pixels")
        expect(
            len(self.x) == len(self.y) and min((*self.x, *self.y), default=0) >= 0,
            "places", f"{len(self.x)} x and {len(self.y)} y", "an x and a y of 0 or more for each frame",
        )  # fmt: skip
