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


def _strokes(keypoints: Points, radius: float) -> Iterator[Stroke]:
    body = (keypoints[skeleton.FIRST] + keypoints[skeleton.SECOND]) / 2
    for (a, b), colour in zip(skeleton.LIMBS, skeleton.COLOURS, strict=False):
        if _is_shown(body[a]) and _is_shown(body[b]):
            yield body[a, :2], body[b, :2], radius, tuple(c / 255 for c in colour)
    for hand in (keypoints[skeleton.LEFT_HAND], keypoints[skeleton.RIGHT_HAND]):
        for (a, b), hue in zip(skeleton.FINGER_EDGES, skeleton.FINGER_COLOURS, strict=True):
            if _is_shown(hand[a]) and _is_shown(hand[b]):
                yield hand[a, :2], hand[b, :2], radius / 3, tuple(c / 255 for c in hue)


def _is_shown(point: Points) -> bool:
    return bool(np.isfinite(point[:2]).all() and point[2] >= skeleton.THRESHOLD)


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
