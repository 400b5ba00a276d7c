"""Which part of a large plate the model works on: a window that follows the character, still or without shaking.

Knows boxes and sizes; no shot, no keypoints and no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from wan_animate_blender.wire import Box

from .region import BLOCK, Fit, Floats
from .video import Picture

REACH = 12
"""Frames before and after, half a second of film, whose boxes a window holds, too: what its path is smoothed over."""

MARGIN = 1 / 8
"""Of the box's longer side, on each side of it: what the model sees of the surroundings at least."""

SLENDER = 9 / 16
"""Of two sides of a window, the shorter to the longer at least: the slenderest pictures of the model's training."""

GAIN = 7 / 8
"""A window that is larger than this part of the frame's sides gains too little for a background that moves."""

Line = npt.NDArray[np.float64]
"""One number a frame."""


@dataclass(frozen=True)
class Window:
    """The part of a plate of `width`×`height` pixels that `fit` makes the model's picture of.

    Its first pixel is the plate's pixel `x`, `y`; both are whole numbers, so pixel centres correspond as in `Fit`.
    """

    width: int
    height: int
    x: int
    y: int
    fit: Fit

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole plate."""
        return (self.fit.plate_width, self.fit.plate_height) == (self.width, self.height)

    def crop(self, plate: Picture) -> Picture:
        """The window's samples of a plate [H, W, …], a view."""
        return plate[self.y : self.y + self.fit.plate_height, self.x : self.x + self.fit.plate_width]

    def picture(self, plate: Picture) -> Picture:
        """The window of a plate [H, W, …] of any type at the model's size."""
        return self.fit.picture(self.crop(plate))

    def back(self, frame: npt.NDArray[np.floating[Any]]) -> Floats:
        """A frame [h, w, 3] of the model, 0..1, in its place: float32 [H, W, 3], 0 outside the window."""
        made = self.fit.back(frame)
        if self.is_whole:
            return made
        plate = np.zeros((self.height, self.width, 3), np.float32)
        self.crop(plate)[:] = made
        return plate

    def points(self, keypoints: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Keypoints [..., 3] = x, y in plate pixels and confidence, in pixels of the model's picture."""
        return self.fit.points(keypoints - np.array([self.x, self.y, 0.0]))


def whole(frames: int, fit: Fit) -> tuple[Window, ...]:
    """The whole plate in each of `frames`."""
    return (Window(fit.plate_width, fit.plate_height, 0, 0, fit),) * frames


def follow(boxes: Sequence[Box | None], width: int, height: int, area: int) -> tuple[Window, ...]:
    """A window for each of `boxes`, where new pixels may appear in frames of `width`×`height`; None is nowhere.

    All are of one size, lie in the frame and hold their box. It is the size at which a model picture of `area` pixels
    shows the boxes largest, but never enlarged, with a margin as even as the frame's edges leave it. Where that gains
    little, or nobody is there, it is the whole frame. A window depends on the shot alone: two segments that share a
    frame share its window, so what one hands over lies where the other expects it.
    """
    fit = Fit.choose(width, height, area)
    if fit.block == BLOCK or not any(boxes):
        return whole(len(boxes), fit)
    held = [_held(boxes, axis) for axis in (0, 1)]
    sides = [float((high - low).max()) for low, high in held]
    margin = math.ceil(MARGIN * max(sides))
    crop = _crop(*(math.ceil(side) + 2 * margin for side in sides), width, height, area)
    if crop.block > GAIN * fit.block:
        return whole(len(boxes), fit)
    ends = (crop.plate_width, width), (crop.plate_height, height)
    x, y = (_starts(low, high, margin, *end) for (low, high), end in zip(held, ends, strict=True))
    return tuple(Window(width, height, int(left), int(top), crop) for left, top in zip(x, y, strict=True))


def _held(boxes: Sequence[Box | None], axis: int) -> tuple[Line, Line]:
    """From where to where a window has to reach in each frame: the boxes of all frames near it, ±inf without any."""
    low = np.array([box[axis] if box else math.inf for box in boxes], np.float64)
    high = np.array([box[axis + 2] if box else -math.inf for box in boxes], np.float64)
    near = 2 * REACH + 1
    lows = sliding_window_view(np.pad(low, REACH, constant_values=math.inf), near)
    highs = sliding_window_view(np.pad(high, REACH, constant_values=-math.inf), near)
    return lows.min(axis=1), highs.max(axis=1)


def _crop(wide: int, tall: int, width: int, height: int, area: int) -> Fit:
    """The finest fit of at least `wide`×`tall` pixels, or as many as the frame has, to no more than `area` pixels."""
    wide, tall = (
        min(max(wide, math.ceil(tall * SLENDER)), width),
        min(max(tall, math.ceil(wide * SLENDER)), height),
    )
    blocks, block = area // BLOCK**2, BLOCK
    while (columns := -(-wide // block)) * (rows := -(-tall // block)) > blocks:
        block += 1
    while True:
        wider = columns * block < width and (columns + 1) * rows <= blocks
        taller = rows * block < height and columns * (rows + 1) <= blocks
        if wider and (not taller or columns * block - wide <= rows * block - tall):
            columns += 1
        elif taller:
            rows += 1
        else:
            return Fit(min(columns * block, width), min(rows * block, height), block)


def _starts(low: Line, high: Line, margin: int, size: int, end: int) -> Line:
    """The first pixel of a window of `size` pixels in each frame, inside 0 to `end`, in whole pixels.

    Every frame's bounds hold for all frames within `REACH`, and a mean of what lies between bounds lies between them:
    so the smoothed path holds each frame's own box. Its second difference is at most 2·(end − size)/REACH², and 2 for
    the rounding.
    """
    least = np.clip(high + margin - size, 0, end - size)
    most = np.clip(low - margin, 0, end - size)
    weights = REACH - np.abs(np.arange(1 - REACH, REACH), dtype=np.float64)
    path = np.pad(_taut(least, most), REACH - 1, mode="edge")
    return np.rint(np.convolve(path, weights / weights.sum(), "valid"))


def _taut(least: Line, most: Line) -> Line:
    """The path of least movement between two bounds, `least` ≤ `most`: as a string that is pulled tight.

    It stands still wherever it can, else goes straight, and bends only where it touches a bound.
    """
    bend, height = _first_bend(least, most)
    path = np.full(len(least), height)
    while bend < len(least) - 1:
        after = np.arange(1, len(least) - bend)
        lowest = (least[bend + 1 :] - height) / after
        highest = (most[bend + 1 :] - height) / after
        length, slope = _straight(lowest, highest)
        path[bend + 1 :] = height
        path[bend + 1 : bend + 1 + length] += slope * after[:length]
        bend, height = bend + length, height + slope * length
    return path


def _first_bend(least: Line, most: Line) -> tuple[int, float]:
    """Until which frame the path stands still, and where."""
    low, high = np.maximum.accumulate(least), np.minimum.accumulate(most)
    if low[-1] <= high[-1]:
        return len(least) - 1, float(low[-1] + high[-1]) / 2
    crossed = int(np.argmax(low > high))
    touched = high[crossed - 1] if least[crossed] > high[crossed - 1] else low[crossed - 1]
    bound = most if least[crossed] > high[crossed - 1] else least
    return int(np.flatnonzero(bound[:crossed] == touched)[-1]), float(touched)


def _straight(lowest: Line, highest: Line) -> tuple[int, float]:
    """How many frames the path goes straight, and its slope, when each frame bounds the slope that leads to it."""
    low, high = np.maximum.accumulate(lowest), np.minimum.accumulate(highest)
    crossed = int(np.argmax(low > high)) if low[-1] > high[-1] else len(low)
    if crossed == len(low):
        slope = float(np.clip(0, low[-1], high[-1]))
        bound = lowest if slope > 0 else highest
        return (crossed, 0.0) if slope == 0 else (int(np.flatnonzero(bound == slope)[-1]) + 1, slope)
    is_high = lowest[crossed] > high[crossed - 1]
    slope = float(high[crossed - 1] if is_high else low[crossed - 1])
    bound = highest if is_high else lowest
    return int(np.flatnonzero(bound[:crossed] == slope)[-1]) + 1, slope
