"""A difference key: what of a generated frame is not the clean plate. Knows pictures; no shot and no model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_BLUR = 0.7
"""Pixels by which both pictures are softened: less noise, and no edge moves."""

_USUAL = 0.99
"""Of all that is background, what is nearer to the clean plate than where the key begins."""

_LEAST, _MOST = 0.02, 0.3
"""Distances at which a key may begin. Farther away is another picture, and no clean plate of this one."""

_UNKNOWN = 0.1
"""Where it begins when all of a frame is made anew, so that nothing tells what background looks like."""

_FULL = 2.0
"""Times that distance everything is the character."""

_SPECK = 1 / 60
"""Of the picture's short side: what is smaller is neither a part of the character nor a gap in it."""

_SOFT = 2.0
"""Pixels at the character's edge that may be half transparent; farther inside it is whole."""


def distance(made: npt.NDArray[np.floating[Any]], clean: Floats) -> Floats:
    """How far colours [h, w, 3] lie apart, 0..√3 of display-encoded numbers."""
    return np.asarray(np.linalg.norm(_calmed(made) - _calmed(clean), axis=-1), np.float32)


def limits(backgrounds: Iterable[Floats]) -> tuple[float, float]:
    """Where a key begins and ends, from distances where there is nothing but background."""
    every = np.concatenate([np.ravel(one) for one in backgrounds])
    usual = float(np.quantile(every, _USUAL)) if len(every) else _UNKNOWN
    low = round(min(max(usual, _LEAST), _MOST), 4)
    return low, round(_FULL * low, 4)


def key(apart: Floats, inside: Mask, low: float, high: float) -> Floats:
    """The character's alpha [h, w], 0..1, where it is `inside`, from distances to the clean plate.

    One frame at a time and with the same limits in all of them, so that nothing pumps.
    """
    differs = ((apart > low) & inside).astype(np.uint8)
    body = np.asarray(cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    fewest = (_SPECK * min(apart.shape)) ** 2
    body = _without_specks(body, fewest)
    body = np.asarray(1 - _without_specks(np.asarray(1 - body, np.uint8), fewest), np.uint8)
    deep = cv2.distanceTransform(body, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > _SOFT
    ramp = np.clip((apart - low) / (high - low), 0, 1)
    return np.where(deep, 1, ramp * body).astype(np.float32)


def _calmed(picture: npt.NDArray[np.floating[Any]]) -> Floats:
    return np.asarray(cv2.GaussianBlur(np.asarray(picture, np.float32), (0, 0), _BLUR), np.float32)


def _without_specks(body: npt.NDArray[np.uint8], fewest: float) -> npt.NDArray[np.uint8]:
    """`body` without parts of fewer pixels than that."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(body, connectivity=4)
    kept = stats[:, cv2.CC_STAT_AREA] >= fewest
    kept[0] = False
    return np.asarray(kept[:count][labels], np.uint8)
