"""Faces in a still picture, found before a shot is sent with it. Knows neither shots nor models.

The finder is the one that scikit-image brings with its weights: upright faces seen from the front, real or drawn like
real ones. That it finds none is a reason to look at a picture, not to refuse it.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from skimage import data, feature

from wan_animate_blender.wire import Box, Faces

from .video import Picture

SIDE = 512
"""Pixels of the longer side at which is searched: the finder's time grows with the pixels."""

SMALLEST = 24
"""Pixels of a side of the smallest face that the finder was trained for."""

NOISE = 1 / 3
"""Share of the largest face's area below which a find is taken for a pattern that only looks like one."""


def find(picture: Picture) -> Faces:
    """The faces in uint8 [H, W, 3] RGB, largest first. The same bytes give the same answer."""
    height, width = picture.shape[:2]
    scale = min(SIDE / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    boxes = sorted(map(_box, _detected(small)), key=_area, reverse=True)
    return Faces(width=width, height=height, boxes=tuple(_scaled(box, 1 / scale) for box in _apart(boxes)))


def _detected(picture: Picture) -> list[dict[str, int]]:
    if min(picture.shape[:2]) < SMALLEST:
        return []
    longest = min(picture.shape[:2])
    found: list[dict[str, int]] = _finder().detect_multi_scale(
        img=np.ascontiguousarray(picture), scale_factor=1.2, step_ratio=1,
        min_size=(SMALLEST, SMALLEST), max_size=(longest, longest),
    )  # fmt: skip
    return found


@functools.cache
def _finder() -> feature.Cascade:
    return feature.Cascade(data.lbp_frontal_face_cascade_filename())


def _box(found: dict[str, int]) -> Box:
    return found["c"], found["r"], found["c"] + found["width"], found["r"] + found["height"]


def _scaled(box: Box, factor: float) -> Box:
    x0, y0, x1, y1 = (round(side * factor) for side in box)
    return x0, y0, x1, y1


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _apart(boxes: list[Box]) -> list[Box]:
    """Of `boxes`, largest first, those whose middle lies in no larger one: a face is found at several sizes."""
    kept: list[Box] = []
    for box in boxes:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        inside = any(b[0] < x < b[2] and b[1] < y < b[3] for b in kept)
        if not inside and _area(box) >= NOISE * _area(boxes[0]):
            kept.append(box)
    return kept
