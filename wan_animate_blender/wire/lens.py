"""How the lens of the camera bent the plate, as `shot.json` records it. Knows no arithmetic: Blender does it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .folders import check_path
from .messages import Message, expect


class LensKind(enum.StrEnum):
    """A model of distortion; the first four are Blender's, from libmv."""

    POLYNOMIAL = "polynomial"
    """Coefficients K1, K2, K3."""
    DIVISION = "division"
    """K1, K2."""
    NUKE = "nuke"
    """K1, K2, P1, P2."""
    BROWN = "brown"
    """K1, K2, K3, K4, P1, P2."""
    STMAP = "stmap"
    """None: a picture says for each pixel where it comes from."""


COEFFICIENTS = {LensKind.POLYNOMIAL: 3, LensKind.DIVISION: 2, LensKind.NUKE: 4, LensKind.BROWN: 6, LensKind.STMAP: 0}
"""How many of them each kind has."""


class MapUse(enum.StrEnum):
    """What a picture is made by reading another one through an ST-map."""

    UNDISTORT = "undistort"
    """A straight picture of the bent plate: the map's pixels are straight, its values lie on the plate."""
    DISTORT = "distort"
    """A bent picture of a straight render: the map's pixels are the plate's, its values lie on the render."""


@dataclass(frozen=True, kw_only=True)
class Lens(Message):
    """A lens as it was solved or measured, on a raster of its own; plates of another size are scaled evenly."""

    kind: LensKind
    width: int
    height: int
    """Pixels of the clip or map that the numbers below refer to."""
    pixel_aspect: float = 1.0
    """Width of a pixel over its height."""
    focal: float = 0.0
    """Focal length in widths of a pixel; 0 for an ST-map."""
    principal: tuple[float, ...] = (0.0, 0.0)
    """Where the optical axis meets the raster: x, y in pixels, y down, the first centre at 0.5."""
    coefficients: tuple[float, ...] = ()
    file: str = ""
    """Path of the ST-map in the shot folder: red is u to the right, green is v upwards, both 0–1."""
    use: MapUse = MapUse.UNDISTORT
    """Of the ST-map."""

    def __post_init__(self) -> None:
        is_map = self.kind is LensKind.STMAP
        expect(1 <= self.width <= 16384, "lens width", self.width, "1 to 16384 pixels")
        expect(1 <= self.height <= 16384, "lens height", self.height, "1 to 16384 pixels")
        expect(self.pixel_aspect > 0, "pixel aspect of the lens", self.pixel_aspect, "a number above 0")
        expect(is_map or self.focal > 0, "focal length of the lens", self.focal, "pixels above 0")
        expect(len(self.principal) == 2, "principal point of the lens", len(self.principal), "two numbers")
        wanted = COEFFICIENTS[self.kind]
        expect(len(self.coefficients) == wanted, f"{self.kind} coefficients", len(self.coefficients), str(wanted))
        expect(bool(self.file) == is_map, "ST-map of the lens", repr(self.file), f"{'a' if is_map else 'no'} file")
        if self.file:
            check_path(self.file)
