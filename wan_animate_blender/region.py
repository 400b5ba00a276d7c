"""Where new pixels may appear, as the server will find it from a matte and a pose: for people to look at beforehand.

Numbers only: no strips, no Blender. The server draws with other means; edges may differ by some pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .edges import Grey, grown
from .wire import hull

DIRECTIONS = 64
"""Tangents around a piece: corners of 6 degrees, a thousandth of its radius."""


def around(matte: Grey, keypoints: npt.NDArray[np.floating[Any]], grow: float | None) -> Grey:
    """uint8 [H, W], 0 or 255: `matte` uint8 [H, W] and the body of `keypoints` [133, 3], grown by `grow` pixels.

    Without a number it is a fortieth of the short side.
    """
    height, width = matte.shape
    core = (matte >= hull.ALMOST_NOTHING) | body(keypoints, width, height)
    wide = hull.growth(height, width) if grow is None else grow
    inside: Grey = np.where(grown(core.astype(np.uint8) * np.uint8(255), wide) == 255, 255, 0).astype(np.uint8)
    return inside


def body(keypoints: npt.NDArray[np.floating[Any]], width: int, height: int) -> npt.NDArray[np.bool_]:
    """The space that a body takes: bool [H, W]."""
    space = np.zeros((height, width), np.bool_)
    for piece in hull.pieces(keypoints.tolist(), width, height):
        _fill(space, np.rint(piece.points), round(piece.radius) + 0.5)
    return space


def _fill(space: npt.NDArray[np.bool_], points: npt.NDArray[np.float64], radius: float) -> None:
    """Everything within `radius` of the convex hull of `points` [n, 2]: between two tangents in every direction."""
    low = np.clip(np.floor(points.min(axis=0) - radius), 0, space.shape[::-1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + radius) + 1, 0, space.shape[::-1]).astype(int)
    x, y = np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None]
    inside = np.ones((max(high[1] - low[1], 0), max(high[0] - low[0], 0)), np.bool_)
    for turn in range(DIRECTIONS):
        way = np.array([math.cos(math.tau * turn / DIRECTIONS), math.sin(math.tau * turn / DIRECTIONS)])
        inside &= x * way[0] + y * way[1] <= (points @ way).max() + radius
    space[low[1] : high[1], low[0] : high[0]] |= inside
