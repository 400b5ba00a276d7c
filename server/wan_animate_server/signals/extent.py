"""The box around the region of each frame, found without drawing one. Knows shots and keypoints."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import Box, hull

from ..shot import LoadedShot
from ..video import read_grey, to_8bit

Mask = npt.NDArray[np.bool_]

ROUNDING = 2
"""Pixels by which a drawn outline may lie outside of its numbers."""


def boxes(shot: LoadedShot) -> list[Box | None]:
    """Whole plate pixels around all that may become new in each frame, and hardly more; None where nothing may."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes beside Python
        return list(pool.map(partial(_box, shot), range(len(shot.shot.frames))))


def _box(shot: LoadedShot, i: int) -> Box | None:
    raster, given = shot.shot.raster, shot.sequences["region"]
    if given:
        return _around(to_8bit(read_grey(shot.folder / given[i])) > 0)
    size = raster.width, raster.height
    matte = _around(shot.matte(i) >= hull.ALMOST_NOTHING)
    pieces = hull.pieces(np.asarray(shot.keypoints[i], np.float64).tolist(), *size)
    seen = [box for box in (matte, *(_reach(piece, size) for piece in pieces)) if box]
    if not seen:
        return None
    grow = shot.shot.settings.region_grow
    wide = hull.growth(raster.height, raster.width) if grow is None else int(grow)
    x0, y0, x1, y1 = zip(*seen, strict=True)
    return _inside((min(x0) - wide, min(y0) - wide, max(x1) + wide, max(y1) + wide), size)


def _around(mask: Mask) -> Box | None:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (x, y, x + width, y + height) if width else None


def _reach(piece: hull.Piece, size: tuple[int, int]) -> Box | None:
    """The box of what is seen of a piece in a frame of this size."""
    wide = math.ceil(piece.radius) + ROUNDING
    (x0, y0), (x1, y1) = np.min(piece.points, axis=0), np.max(piece.points, axis=0)
    return _inside((math.floor(x0) - wide, math.floor(y0) - wide, math.ceil(x1) + wide, math.ceil(y1) + wide), size)


def _inside(box: Box, size: tuple[int, int]) -> Box | None:
    """The part of `box` in a frame of this size; None when there is none."""
    width, height = size
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
