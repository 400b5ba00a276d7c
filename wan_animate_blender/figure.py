"""The skeleton that the model will see, drawn over a picture for people to judge. Numbers only: no rig, no Blender.

The server draws the model's own picture, to the pixel; here lines are soft and lie over something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .wire import skeleton

Picture = NDArray[np.float32]
"""[H, W, 4], 0–1, the first row on top."""
Points = NDArray[np.floating[Any]]

THICKNESS = 1 / 90
"""Of a limb, in the picture's longer side; of a finger a third of that."""

Line = tuple[Points, Points, tuple[float, ...], bool]
"""From, to (NaN where it is not drawn), colour (0–255), and whether it is a finger's."""
Stroke = tuple[Points, Points, float, tuple[float, ...]]
"""From, to (x, y in pixels), radius and colour (0–1)."""


def placed(keypoints: Points, of: tuple[int, int], on: tuple[int, int]) -> Points:
    """Keypoints [133, 3] of a plate `of` width and height on a picture as large as `on`, where the model will see them.

    In animate mode the server fits the whole plate into the character's frame, in its middle, as it letterboxes.
    """
    scale = min(on[0] / of[0], on[1] / of[1])
    corner = [(on[i] - scale * of[i]) / 2 for i in (0, 1)]
    return keypoints * [scale, scale, 1.0] + [*corner, 0.0]


def draw(picture: Picture, keypoints: Points) -> Picture:
    """A copy of `picture` under the skeleton of `keypoints` [133, 3] = x, y in its pixels and confidence."""
    drawn = picture.copy()
    for start, end, radius, colour in _strokes(keypoints, THICKNESS * max(picture.shape[:2]) / 2):
        _draw(drawn, start, end, radius, colour)
    return drawn


def lines(points: Points, confidence: Points) -> Iterator[Line]:
    """What joins keypoints `points` [133, d], in the order of drawing: limbs, then fingers."""
    body = joints(points, confidence)
    for (a, b), colour in zip(skeleton.LIMBS, skeleton.COLOURS, strict=False):
        yield body[a], body[b], colour, False
    for side in (skeleton.LEFT_HAND, skeleton.RIGHT_HAND):
        hand = _sure(points[side], confidence[side])
        for (a, b), hue in zip(skeleton.FINGER_EDGES, skeleton.FINGER_COLOURS, strict=True):
            yield hand[a], hand[b], tuple(hue), True


def joints(points: Points, confidence: Points) -> Points:
    """The 20 points [20, d] of the drawn body, NaN where the model sees none."""
    first, second = skeleton.FIRST, skeleton.SECOND
    return _sure((points[first] + points[second]) / 2, (confidence[first] + confidence[second]) / 2)


def _sure(points: Points, confidence: Points) -> Points:
    return np.where((confidence >= skeleton.THRESHOLD)[:, None], points, np.nan)


def _strokes(keypoints: Points, radius: float) -> Iterator[Stroke]:
    for start, end, colour, is_finger in lines(keypoints[:, :2], keypoints[:, 2]):
        if np.isfinite(start + end).all():
            yield start, end, radius / 3 if is_finger else radius, tuple(c / 255 for c in colour)


def _draw(
    picture: Picture, start: Points, end: Points, radius: float, colour: tuple[float, ...]
) -> None:  # fmt: skip
    """A line with round ends and soft edges, of which only the part inside `picture` is computed."""
    low = np.maximum(np.floor(np.minimum(start, end) - radius - 1), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + radius + 1), picture.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.5
    way = end - start
    along = np.clip(((x - start[0]) * way[0] + (y - start[1]) * way[1]) / max(way @ way, 1e-12), 0, 1)
    away = np.hypot(x - start[0] - along * way[0], y - start[1] - along * way[1])
    cover = np.clip(radius + 0.5 - away, 0, 1)[..., None]
    part = picture[low[1] : high[1], low[0] : high[0]]
    part[...] = part * (1 - cover) + np.array([*colour, 1.0], np.float32) * cover
