"""Which pixels the model sees and which it may change: plate ↔ model size, letterbox, region, alpha, mask.

Arithmetic on pictures; knows no shot, no keypoints and no network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import hull

from .video import Picture, to_8bit

BLOCK = 16
"""Pixels of a side of the square that one token of the model stands for; its pictures are whole blocks."""

CELL = 8
"""Pixels of a side of the square that one latent of the autoencoder stands for."""

HALO = 2
"""Cells by which the mask surpasses the region. The autoencoder carries the black of the hole in its conditioning
about that far, out and in: from a small trained one a comp shows 10 grey levels of 95 with one cell, 5 with two."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """How a plate becomes a picture of the model's size and back, without bars and without stretching.

    Each 16-pixel block of the model stands for `block`×`block` plate pixels, so the scale is 16/`block` in x and in y,
    and pixel centres correspond exactly both ways. The plate's right and lower edges are repeated to whole blocks.
    With `block` 16 every plate sample is kept as it is.
    """

    plate_width: int
    plate_height: int
    block: int

    @classmethod
    def choose(cls, width: int, height: int, area: int) -> Fit:
        """The fit of a plate of `width`×`height` pixels whose model picture comes nearest to `area` pixels.

        A plate is never enlarged: the model would invent detail that the composite does not show.
        """
        fits = (cls(width, height, block) for block in range(BLOCK, max(width, height, BLOCK) + 1))
        return min(fits, key=lambda fit: abs(math.log(fit.width * fit.height / area)))

    @property
    def width(self) -> int:
        """Pixels of the model's picture, a multiple of 16."""
        return BLOCK * -(-self.plate_width // self.block)

    @property
    def height(self) -> int:
        return BLOCK * -(-self.plate_height // self.block)

    @property
    def scale(self) -> float:
        """Model pixels per plate pixel, at most 1."""
        return BLOCK / self.block

    def picture(self, plate: Picture) -> Picture:
        """A plate [H, W, …] of any type at the model's size, each pixel the mean of the plate pixels that it covers."""
        extended = self._extended(plate)
        if self.block == BLOCK:
            return extended
        return cv2.resize(extended, (self.width, self.height), interpolation=cv2.INTER_AREA)

    def back(self, frame: npt.NDArray[np.floating[Any]]) -> Floats:
        """A frame [h, w, 3] of the model, 0..1, at the plate's size: float32 [H, W, 3], 0..1."""
        whole = np.asarray(frame, np.float32)
        if self.block != BLOCK:
            size = self.width * self.block // BLOCK, self.height * self.block // BLOCK
            whole = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_CUBIC), np.float32)
            np.clip(whole, 0, 1, out=whole)
        return np.ascontiguousarray(whole[: self.plate_height, : self.plate_width])

    def points(self, keypoints: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Keypoints [..., 3] = x, y in plate pixels and confidence, in pixels of the model's picture."""
        return np.asarray(keypoints * [self.scale, self.scale, 1.0], np.float64)

    def _extended(self, plate: Picture) -> Picture:
        below = self.height * self.block // BLOCK - self.plate_height
        right = self.width * self.block // BLOCK - self.plate_width
        return cv2.copyMakeBorder(plate, 0, below, 0, right, cv2.BORDER_REPLICATE)


def own_size(width: int, height: int, area: int) -> tuple[int, int]:
    """Width and height for animating a character picture of `width`×`height` pixels on its own background.

    Its aspect at `area` pixels, rounded down to multiples of 16: what the released `resize_by_area` comes to.
    """
    tall = math.sqrt(area / (width / height))
    wide = area / tall
    return max(int(wide) // BLOCK, 1) * BLOCK, max(int(tall) // BLOCK, 1) * BLOCK


@dataclass(frozen=True)
class Letterbox:
    """A picture of `width`×`height` shrunk or enlarged whole into a canvas, centred, black bars beside it.

    Computed in the order of the released `padding_resize`, so that its truncations are the same.
    """

    width: int
    height: int
    canvas_width: int
    canvas_height: int

    @property
    def inner(self) -> tuple[int, int]:
        """Width and height of the picture on the canvas."""
        if self.height / self.width > self.canvas_height / self.canvas_width:
            return max(int(self.canvas_height / self.height * self.width), 1), self.canvas_height
        return self.canvas_width, max(int(self.canvas_width / self.width * self.height), 1)

    @property
    def corner(self) -> tuple[int, int]:
        """Column and row of the picture's first pixel on the canvas."""
        width, height = self.inner
        return (self.canvas_width - width) // 2, (self.canvas_height - height) // 2

    def picture(self, picture: Picture) -> Picture:
        """uint8 [H, W, 3] on its canvas, resampled by bilinear interpolation as the model was trained to see it."""
        (width, height), (x, y) = self.inner, self.corner
        canvas = np.zeros((self.canvas_height, self.canvas_width, 3), np.uint8)
        canvas[y : y + height, x : x + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        return canvas

    def points(self, keypoints: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Keypoints [..., 3] of the picture, in pixels of the canvas."""
        (width, height), (x, y) = self.inner, self.corner
        return np.asarray(keypoints * [width / self.width, height / self.height, 1.0] + [x, y, 0.0], np.float64)


def region(matte: Picture, body: Picture, grow: float | None = None) -> Picture:
    """Where new pixels may appear: uint8 [H, W], 0 or 255.

    The old person (`matte` [H, W], white = remove) and the space that the new one's pose takes (`body`, not 0), grown
    by `grow` pixels, without a number by a fortieth of the picture's short side.
    """
    core = (to_8bit(matte) >= hull.ALMOST_NOTHING) | (body > 0)
    return _grown(core, hull.growth(*matte.shape) if grow is None else grow)


def alpha(region: Picture, matte: Picture, feather: float | None = None) -> Picture:
    """The compositing alpha: uint8 [H, W], exactly 0 outside `region`, soft towards its edge, inside at least `matte`.

    It falls over `feather` pixels, without a number over a fortieth of the picture's short side. The frame's own edge
    is no edge of the region. With a region that `region()` made and no more feather than the region has grown, the
    alpha is 255 wherever the old person is: nothing of him shines through.
    """
    width = hull.growth(*region.shape) if feather is None else feather
    inside, result = (region > 0).view(np.uint8), np.zeros(region.shape, np.uint8)
    if not inside.any():
        return result
    box = around(inside, 1)  # its edge is outside the region or the frame's own: no distance depends on more
    distance = cv2.distanceTransform(inside[box], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.minimum(distance / max(width, 1), 1) * 255
    wanted = np.maximum(np.rint(ramp).astype(np.uint8), to_8bit(matte[box]))
    result[box] = np.minimum(wanted, to_8bit(region[box]))
    return result


def model_mask(region: Picture, fit: Fit) -> Floats:
    """What the model makes anew, float32 [h, w] at the model's size, 1 = make, 0 = keep; whole latent cells.

    Larger than `region` by at least `HALO` cells on every side: there the black of the conditioning's hole and the
    kept picture run into each other, so the composite, which stays inside `region`, takes nothing from there.
    """
    extended = fit.picture((region > 0).astype(np.float32))
    touched = (extended.reshape(fit.height // CELL, CELL, fit.width // CELL, CELL) > 0).any(axis=(1, 3))
    near = np.ones((2 * HALO + 1, 2 * HALO + 1), np.uint8)
    cells = cv2.dilate(np.asarray(touched, np.float32), near)
    return np.asarray(cells, np.float32).repeat(CELL, axis=0).repeat(CELL, axis=1)


def _grown(core: npt.NDArray[np.bool_], pixels: float) -> Picture:
    grown = np.zeros(core.shape, np.uint8)
    if not core.any():
        return grown
    box = around(core.view(np.uint8), math.ceil(pixels))  # farther away nothing is near enough
    distance = cv2.distanceTransform((~core[box]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown[box] = np.where(distance <= pixels, np.uint8(255), np.uint8(0))
    return grown


def around(picture: Picture, margin: int) -> tuple[slice, slice]:
    """The rows and columns where uint8 [H, W] is not 0, and `margin` more on each side that are in the picture."""
    x, y, width, height = cv2.boundingRect(picture)
    return slice(max(y - margin, 0), y + height + margin), slice(max(x - margin, 0), x + width + margin)
