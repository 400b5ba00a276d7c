"""Width, height and length of clips, as a command line says them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wan_animate_blender.wire import BadInput

from .. import world

DEFAULT = "128x128x13"


@dataclass(frozen=True)
class Shape:
    """Of clips: pixels, multiples of 16, and frames, 4n + 1. Raises `BadInput` for others."""

    width: int
    height: int
    frames: int

    def __post_init__(self) -> None:
        self.spec()

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"

    @classmethod
    def read(cls, text: str) -> Shape:
        """From "256x192x29". Raises `BadInput`."""
        said = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,4})", text, re.ASCII)
        if said is None:
            raise BadInput(f"{text!r} is no shape of clips; expected WIDTHxHEIGHTxFRAMES: write 256x192x29, say")
        return cls(*map(int, said.groups()))

    def spec(self, portraits: float = 0.5, difficulty: float = 1.0) -> world.Spec:
        """Clips of this shape, one sample to a pixel: four times as many clips are worth more than smooth edges."""
        return world.Spec(self.height, self.width, self.frames, portraits, difficulty, samples=1)
