"""The space that a body takes as a picture. Knows keypoints only (rule: `wire.hull`)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import hull

from ..video import Picture


def draw(keypoints: npt.NDArray[np.floating[Any]], width: int, height: int) -> Picture:
    """The space of one body: `keypoints` [133, 3] = x, y in pixels, confidence → uint8 [H, W], 255 inside."""
    canvas = np.zeros((height, width), np.uint8)
    for piece in hull.pieces(np.asarray(keypoints, np.float64).tolist(), width, height):
        _fill(canvas, piece)
    return canvas


def _fill(canvas: Picture, piece: hull.Piece) -> None:
    outline = cv2.convexHull(np.rint(piece.points).astype(np.int32))
    cv2.fillConvexPoly(canvas, outline, (255,))
    # A line with round ends along the outline: together, the hull's Minkowski sum with a disc.
    cv2.polylines(canvas, [outline], isClosed=True, color=(255,), thickness=2 * round(piece.radius) + 1)
