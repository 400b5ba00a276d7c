"""What a take says of how its character was made to belong to the plate. Knows no take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .messages import Message, expect

SOFTEST = 4.0
"""Pixels: no character is made softer by more. What asks for more is a plate whose focus lies elsewhere."""

_UNSEEN = 0.3
"""Pixels: less softening than this is nothing that anybody sees."""


@dataclass(frozen=True, kw_only=True)
class Grain(Message):
    """Noise that changes with every frame, in the numbers of the plate: 0..1, or scene-linear light.

    Each field has three rows: red, green, blue.
    """

    levels: tuple[tuple[float, ...], ...]
    """The brightness at which it was measured, rising."""
    noise: tuple[tuple[float, ...], ...]
    """Standard deviation at each of `levels`; constant beyond them, in straight lines between."""
    across: tuple[tuple[float, ...], ...]
    """How alike it is to itself 1, 2, 3 … pixels to the right, −1 to 1."""
    down: tuple[tuple[float, ...], ...]
    """The same downwards."""
    between: tuple[tuple[float, ...], ...]
    """How alike the channels' grain is: a matrix with ones in its diagonal."""

    def __post_init__(self) -> None:
        for name, rows in self.to_json().items():
            expect(len(rows) == 3, f"grain {name}", f"of {len(rows)} channels", "three")
        for levels, noise in zip(self.levels, self.noise, strict=True):
            expect(len(levels) == len(noise) > 0, "grain", f"{len(noise)} of {len(levels)} levels", "noise at each")


@dataclass(frozen=True, kw_only=True)
class Belonging(Message):
    """Measured once, in frames of the first segment that was made; re-takes and extensions keep it.

    None is what could not be measured, because too little of it is there.
    """

    grain: Grain | None = None
    """The plate's, outside the region."""
    grain_made: Grain | None = None
    """The character's, as the model made it: the plate's is only added to what is lacking."""
    softness: float | None = None
    """Of the plate's sharpest edges outside the region: pixels of the Gaussian that blurs them."""
    softness_made: float | None = None
    """Of the character's, as the model made it."""
    key: tuple[float, ...] = ()
    """Distances to the clean plate, of display-encoded 0..1, below which all is background and above which all is the
    character; none where there is no clean plate."""
    effects: tuple[float, ...] = ()
    """The least and the most light that the old actor left inside the effects matte, as multiples of the clean plate's;
    none where no such matte is used."""

    @property
    def softening(self) -> float:
        """Pixels of the Gaussian that makes the character as soft as the plate; 0 where it is soft enough."""
        if self.softness is None or self.softness_made is None:
            return 0.0
        lacking = math.sqrt(max(self.softness**2 - self.softness_made**2, 0.0))
        return min(lacking, SOFTEST) if lacking > _UNSEEN else 0.0
