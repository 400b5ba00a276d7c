"""The expression signal: face crops of the size the model reads. Knows frames and boxes (rule: `wire.face_box`)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import FACE_SIZE

from ..video import Picture


def crop(frame: Picture, box: npt.NDArray[np.floating[Any]]) -> Picture:
    """The face in `frame` uint8 [H, W, 3], stretched to uint8 [512, 512, 3]; black when `box` holds nothing of it.

    `box` is x0, y0, x1, y1 in pixels of `frame`, the last two the first outside, NaN for no face. Its aspect is not
    kept, because the released preprocessing does not and the motion encoder learned from that.
    """
    if not np.isfinite(box).all():
        return absent()
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = (int(edge) for edge in np.clip(box, 0, [width, height, width, height]))
    if x0 >= x1 or y0 >= y1:
        return absent()
    return cv2.resize(frame[y0:y1, x0:x1], (FACE_SIZE, FACE_SIZE))


def absent() -> Picture:
    """What stands for a face that is not there: black, as the model saw it in training without guidance."""
    return np.zeros((FACE_SIZE, FACE_SIZE, 3), np.uint8)
