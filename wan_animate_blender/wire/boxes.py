"""Where faces are: in a still picture, and the cut-out of a frame. Knows nothing of files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .messages import Message, expect

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels; x1 and y1 are the first outside."""


@dataclass(frozen=True, kw_only=True)
class Faces(Message):
    """The faces that a server found in a picture of `width`×`height` pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    """Largest first."""

    def __post_init__(self) -> None:
        expect(all(len(box) == 4 for box in self.boxes), "boxes", self.boxes, "four numbers for each face")


def face_box(points: Sequence[Sequence[float]], width: int, height: int) -> Box | None:
    """The box of a face crop around the 68 face `points` (x, y …) in a frame of `width`×`height` pixels.

    The released preprocessing's rule (`get_face_bboxes`, scale 1.3): the points' box grown to 1.3 times its area,
    sideways alike, upwards three times as much as downwards, cut to the frame. None when nothing of it is inside.
    """
    xs = [float(p[0]) for p in points]
    ys = [float(p[1]) for p in points]
    if not xs or any(map(math.isnan, (*xs, *ys))):
        return None
    grow = 1.3**0.5 - 1
    sideways = (max(xs) - min(xs)) * grow / 2
    upright = (max(ys) - min(ys)) * grow / 4
    x0, x1 = max(min(xs) - sideways, 0), min(max(xs) + sideways, width)
    y0, y1 = max(min(ys) - 3 * upright, 0), min(max(ys) + upright, height)
    box = int(x0), int(y0), int(x1), int(y1)
    return box if box[0] < box[2] and box[1] < box[3] else None
