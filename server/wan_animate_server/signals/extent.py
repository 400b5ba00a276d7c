"""The box around the region of each frame, found without drawing one. Knows shots and keypoints."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

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
    found = [_around(shot.matte(i) >= hull.ALMOST_NOTHING), _body(shot.keypoints[i], raster.width, raster.height)]
    there = np.array([box for box in found if box])
    if not len(there):
        return None
    grow = shot.shot.settings.region_grow
    wide = hull.growth(raster.height, raster.width) if grow is None else int(grow)
    low = np.maximum(there[:, :2].min(axis=0) - wide, 0)
    high = np.minimum(there[:, 2:].max(axis=0) + wide, [raster.width, raster.height])
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (low < high).all() else None


def _around(mask: Mask) -> Box | None:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (x, y, x + width, y + height) if width else None


def _body(keypoints: npt.NDArray[np.floating[Any]], width: int, height: int) -> Box | None:
    pieces = hull.pieces(np.asarray(keypoints, np.float64).tolist(), width, height)
    reaches = [
        (min(x for x, _ in piece.points) - piece.radius, min(y for _, y in piece.points) - piece.radius,
         max(x for x, _ in piece.points) + piece.radius, max(y for _, y in piece.points) + piece.radius)
        for piece in pieces
    ]  # fmt: skip
    if not reaches:
        return None
    found = np.array(reaches)
    low, high = np.floor(found[:, :2].min(axis=0)) - ROUNDING, np.ceil(found[:, 2:].max(axis=0)) + ROUNDING
    seen = (low < [width, height]).all() and (high > 0).all()
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if seen else None
