"""What was asked for and what was made, side by side: pictures for people. Knows no figure."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from .. import world
from ..sheet import moments
from .cases import Case
from .making import Made

TALL = 160
"""Pixels of the height of one picture."""


def strip(case: Case, made: Made, relight: float) -> NDArray[np.uint8]:
    """RGB: for up to six moments of a case the plate, the skeleton asked for, the truth and the result; at the left the
    reference picture that was given."""
    height, width = made.frames.shape[1:3]
    chosen = moments(len(made.frames))
    drawn = world.skeleton(torch.from_numpy(case.signals.keypoints[chosen]), height, width).numpy()
    rows = [case.signals.plate[chosen], drawn, case.wanted(relight)[chosen], made.frames[chosen]]
    blank = np.full_like(case.signals.reference, 24)
    left = [case.signals.reference, *[blank] * 3]
    lines = [np.hstack([first, *row]) for first, row in zip(left, rows, strict=True)]
    sheet = np.vstack(lines)
    scale = TALL / height
    size = round(sheet.shape[1] * scale), len(rows) * TALL
    return np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST))


def as_data(picture: NDArray[np.uint8]) -> str:
    """For a page that needs nothing beside itself."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
