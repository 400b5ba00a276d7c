"""The skeleton picture, drawn exactly as the model was trained to see it. Knows keypoints and a canvas, no shot.

The rule is the released preprocessing's `draw_aapose_by_meta_new` with its defaults
(Wan2.2, `wan/modules/animate/preprocess/human_visualization.py`): other skeleton styles do not match the weights.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import skeleton

from ..video import Picture

Points = npt.NDArray[np.floating[Any]]
"""[n, 3] = x, y in pixels and confidence."""

# OpenCV counts in 1/65536 of a pixel: a limb to a point as far away as this is still drawn truly, and no picture is
# larger (wire.Raster). Points near the camera's plane project much farther.
FARTHEST = 32767.0


def draw(keypoints: Points, width: int, height: int) -> Picture:
    """The pose as a picture: `keypoints` [133, 3] = x, y in pixels of the canvas and confidence → uint8 [H, W, 3] RGB.

    Body limbs, body joints (eyes, ears and toes among them), left hand, right hand, on black. Face landmarks and heels
    are not drawn. Points that are not finite (behind the camera) are never drawn, whatever their confidence.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    stick = max(int(min(width, height) / 200) - 1, 1)
    points = np.asarray(keypoints, np.float64)
    _draw_body(canvas, body_points(points), stick)
    for hand in (skeleton.LEFT_HAND, skeleton.RIGHT_HAND):
        _draw_hand(canvas, points[hand], max(stick // 2, 1))
    return canvas


def body_points(keypoints: Points) -> Points:
    """The 20 drawn body points [20, 3] of the 133, confidence averaged like the coordinates."""
    means: Points = (keypoints[skeleton.FIRST] + keypoints[skeleton.SECOND]) / 2
    return means


def _draw_body(canvas: Picture, body: Points, stick: int) -> None:
    shown = _drawable(body)
    for (a, b), colour in zip(skeleton.LIMBS, skeleton.COLOURS, strict=False):
        if shown[a] and shown[b]:
            _draw_limb(canvas, body[a], body[b], stick, tuple(int(c * 0.6) for c in colour))
    for point, colour in zip(body[shown], np.array(skeleton.COLOURS)[shown].tolist(), strict=True):
        cv2.circle(canvas, _pixel(point), stick, colour, thickness=-1)


def _draw_limb(
    canvas: Picture,
    a: Points,
    b: Points,
    stick: int,
    colour: tuple[int, ...],
) -> None:
    """A filled ellipse from `a` to `b`, `2 * stick` thick in its middle; every number truncated, as upstream does."""
    dx, dy = float(a[0] - b[0]), float(a[1] - b[1])
    half_length = int((dx * dx + dy * dy) ** 0.5 / 2)
    angle = int(math.degrees(math.atan2(dy, dx)))
    outline = cv2.ellipse2Poly(_pixel((a + b) / 2), (half_length, stick), angle, 0, 360, 1)
    cv2.fillConvexPoly(canvas, np.asarray(outline), colour)


def _draw_hand(canvas: Picture, hand: Points, stick: int) -> None:
    pixels = [_pixel(point) if shown else None for point, shown in zip(hand, _drawable(hand), strict=True)]
    # Upstream leaves out what touches the first row or column: there its detector puts fingers that it did not find.
    inside = [pixel if pixel and min(pixel) > 0 else None for pixel in pixels]
    for (a, b), colour in zip(skeleton.FINGER_EDGES, skeleton.FINGER_COLOURS, strict=True):
        start, end = inside[a], inside[b]
        if start and end:
            cv2.line(canvas, start, end, colour, thickness=stick)
    for pixel in inside:
        if pixel:
            cv2.circle(canvas, pixel, stick, skeleton.FINGER_JOINT, thickness=-1)


def _drawable(points: Points) -> npt.NDArray[np.bool_]:
    # NaN compares false, so a point behind the camera drops out here and not in a rounding below.
    near = np.all(np.abs(points[:, :2]) <= FARTHEST, axis=1)
    return np.asarray(near & (points[:, 2] >= skeleton.THRESHOLD))


def _pixel(point: Points) -> tuple[int, int]:
    """The pixel that holds a point whose first pixel centre is at 0.5."""
    return int(point[0]), int(point[1])
