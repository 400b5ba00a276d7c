"""The space that a body takes, estimated from its pose, and how far around it new pixels may appear.

Knows keypoints only; each side draws the pieces in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .shot import FACE_KEYPOINTS
from .skeleton import LEFT_HAND, RIGHT_HAND, THRESHOLD

Point = tuple[float, float]
"""x, y in pixels, y down."""

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

ALMOST_NOTHING = 8
"""Grey levels of 255 that count as an empty matte: video compression leaves such noise."""

_GROWTH = 1 / 40
"""Of the picture's short side."""


def growth(height: int, width: int) -> int:
    """Plate pixels by which the region surpasses matte and body, and over which its alpha falls, unless told else."""
    return max(round(min(height, width) * _GROWTH), 2)


@dataclass(frozen=True)
class Piece:
    """Everything within `radius` pixels of the convex hull of `points`, of which there is at least one."""

    points: tuple[Point, ...]
    radius: float


def pieces(keypoints: Sequence[Sequence[float]], width: int, height: int) -> list[Piece]:
    """The space of one body: `keypoints` [133] of x, y in pixels and confidence, in a frame of `width`×`height` pixels.

    Of the points inside the frame those of confidence 0.5 and more count. Points outside count whatever their
    confidence: their limbs reach into the frame (coordinates are kept there for that). NaN never counts.
    """
    finite = [math.isfinite(x) and math.isfinite(y) for x, y, _ in keypoints]
    sure = [near and seen >= THRESHOLD for near, (_, _, seen) in zip(finite, keypoints, strict=True)]
    inside = [0 <= x < width and 0 <= y < height for x, y, _ in keypoints]
    # Three frames away is as good as infinitely far, and keeps fixed point numbers from overflowing.
    places = [(min(max(x, -3 * width), 4 * width), min(max(y, -3 * height), 4 * height)) for x, y, _ in keypoints]
    unit = shoulder_width(places, sure)
    limbs = [_only(part, lambda i: sure[i] or (finite[i] and not inside[i])) for part in PARTS]
    found = [Piece(tuple(places[i] for i in limb), FLESH * unit) for limb in limbs if limb]
    return found + _head(places, sure, unit)


def shoulder_width(places: Sequence[Point], sure: Sequence[bool]) -> float:
    """The body's size: pixels between its shoulders, from the bones of `places` [133] that are `sure`; 0 if none."""
    seen = ((ends, bone) for ends, bone in BONES.items() if all(sure[i] for i in ends))
    return max((math.dist(places[a], places[b]) / bone for (a, b), bone in seen), default=0.0)


def _head(places: Sequence[Point], sure: Sequence[bool], unit: float) -> list[Piece]:
    seen, shoulders = (_only(part, sure.__getitem__) for part in (HEAD, [5, 6]))
    if not seen:
        return []
    centre = _middle([places[i] for i in seen])
    face = [i for i in range(FACE_KEYPOINTS.start, FACE_KEYPOINTS.stop) if sure[i]]
    radii = [HEAD_RADIUS * unit, *(HAIR * math.dist(centre, places[i]) for i in face)]
    if len(shoulders) == 2:
        radii.append(NECK * math.dist(centre, _middle([places[i] for i in shoulders])))
    neck = Piece(tuple(places[i] for i in (*seen, *shoulders)), FLESH * unit)
    return [Piece((centre,), max(radii)), neck]


def _only(part: Iterable[int], known: Callable[[int], bool]) -> list[int]:
    return [i for i in part if known(i)]


def _middle(points: Sequence[Point]) -> Point:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
