"""The space that a body takes, estimated from its pose: where a character on this skeleton may show.

Knows keypoints only.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import FACE_KEYPOINTS

from ..video import Picture
from .pose import LEFT_HAND, RIGHT_HAND, THRESHOLD

Points = npt.NDArray[np.float64]

# COCO-WholeBody numbers. Each part is filled as one convex piece: a coat hangs between the legs, a bag under an arm.
PARTS = [
    [5, 6, 11, 12],
    [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22],
    [5, 7, 9, *range(LEFT_HAND.start, LEFT_HAND.stop)],
    [6, 8, 10, *range(RIGHT_HAND.start, RIGHT_HAND.stop)],
]
HEAD = [0, 1, 2, 3, 4]

# Bones in units of the distance between the shoulder joints, itself about 0.21 of the body's height; trunk, thigh and
# shank after Drillis & Contini (1966): 0.288, 0.245 and 0.246 of it. The largest estimate wins, because foreshortening
# only ever shortens.
BONES = {(5, 6): 1.0, (5, 11): 1.37, (6, 12): 1.37, (11, 13): 1.17, (12, 14): 1.17, (13, 15): 1.17, (14, 16): 1.17}

FLESH = 0.25
"""From bone to the outside of clothes, in shoulder widths."""

HEAD_RADIUS = 0.55
"""From between the ears to the outside of hair, in shoulder widths."""

NECK = 0.75
"""The same, in distances from between the ears to the middle of the shoulders."""

HAIR = 1.5
"""The same, in distances from between the ears to the outermost face landmark (the chin)."""


def draw(keypoints: npt.NDArray[np.floating[Any]], width: int, height: int) -> Picture:
    """The space of one body: `keypoints` [133, 3] = x, y in pixels, confidence → uint8 [H, W], 255 inside.

    Of the points inside the frame those of confidence 0.5 and more count. Points outside count whatever their
    confidence: their limbs reach into the frame (coordinates are kept there for that). NaN never counts.
    """
    points = np.asarray(keypoints, np.float64)
    finite = np.isfinite(points[:, :2]).all(axis=1)
    outside = ((points[:, :2] < 0) | (points[:, :2] >= [width, height])).any(axis=1)
    sure = finite & (points[:, 2] >= THRESHOLD)
    # Three frames away is as good as infinitely far, and keeps OpenCV's fixed point numbers from overflowing.
    places = np.clip(points[:, :2], [-3 * width, -3 * height], [4 * width, 4 * height])
    unit = shoulder_width(places, sure)
    canvas = np.zeros((height, width), np.uint8)
    for part in PARTS:
        _fill(canvas, places[_only(part, sure | (finite & outside))], FLESH * unit)
    _fill_head(canvas, places, sure, unit)
    return canvas


def shoulder_width(places: Points, sure: npt.NDArray[np.bool_]) -> float:
    """The body's size: pixels between its shoulders, from the bones of `places` [133, 2] that are `sure`; 0 if none."""
    seen = ((ends, bone) for ends, bone in BONES.items() if sure[list(ends)].all())
    return max((_distance(places[a], places[b]) / bone for (a, b), bone in seen), default=0.0)


def _only(part: list[int], known: npt.NDArray[np.bool_]) -> list[int]:
    return [i for i in part if known[i]]


def _fill(canvas: Picture, places: Points, radius: float) -> None:
    """Everything within `radius` of the convex hull of `places`."""
    if not len(places):
        return
    outline = cv2.convexHull(np.rint(places).astype(np.int32))
    cv2.fillConvexPoly(canvas, outline, (255,))
    # A line with round ends along the outline: together, the hull's Minkowski sum with a disc.
    cv2.polylines(canvas, [outline], isClosed=True, color=(255,), thickness=2 * round(radius) + 1)


def _fill_head(canvas: Picture, places: Points, sure: npt.NDArray[np.bool_], unit: float) -> None:
    seen = _only(HEAD, sure)
    if not seen:
        return
    centre = places[seen].mean(axis=0)
    radii = [
        HEAD_RADIUS * unit,
        *(HAIR * _distance(centre, point) for point in places[FACE_KEYPOINTS][sure[FACE_KEYPOINTS]]),
    ]
    shoulders = _only([5, 6], sure)
    if len(shoulders) == 2:
        radii.append(NECK * _distance(centre, places[shoulders].mean(axis=0)))
    _fill(canvas, centre[None], max(radii))
    _fill(canvas, places[[*seen, *shoulders]], FLESH * unit)


def _distance(a: Points, b: Points) -> float:
    return float(np.hypot(*(a - b)))
