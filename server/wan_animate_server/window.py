"""Which part of a large plate the model works on: a window that follows the character, still or without shaking.

Knows boxes and sizes; no shot, no keypoints and no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import Box

from .region import BLOCK, Fit, Floats
from .video import Picture

REACH = 12
"""Frames before and after, half a second of film, over which a window's path is smoothed."""

MARGIN = 1 / 8
"""Of the box's longer side, on each side of it: what the model sees of the surroundings at least."""

SLENDER = 9 / 16
"""Of two sides of a window, the shorter to the longer at least: the slenderest pictures of the model's training."""

GAIN = 7 / 8
"""A window that is larger than this part of the frame's sides gains too little for a background that moves."""

FADES = (24, 12, 6, 3)
"""Frames, the smoothest first, in which the path of new frames leaves that of frames which are there."""

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
        return made if self.is_whole else self._placed(made)

    def cut(self, plate: Picture) -> Picture:
        """A plate [H, W, …], 0 outside the window."""
        return plate if self.is_whole else self._placed(self.crop(plate))

    def points(self, keypoints: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Keypoints [..., 3] = x, y in plate pixels and confidence, in pixels of the model's picture."""
        return self.fit.points(keypoints - np.array([self.x, self.y, 0.0]))

    def _placed(self, part: Picture) -> Picture:
        plate = np.zeros((self.height, self.width, *part.shape[2:]), part.dtype)
        self.crop(plate)[:] = part
        return plate


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
    x, y = _Axis.both(boxes, width, height)
    while (crop := _crop(x.need, y.need, width, height, area)).block <= GAIN * fit.block:
        left, top = x.starts(crop.plate_width), y.starts(crop.plate_height)
        across = x.lacking(crop.plate_width, left, x.margin)
        down = y.lacking(crop.plate_height, top, y.margin)
        if not across and not down:
            return tuple(Window(width, height, int(a), int(b), crop) for a, b in zip(left, top, strict=True))
        x, y = replace(x, slack=x.slack + across), replace(y, slack=y.slack + down)
    return whole(len(boxes), fit)


def go_on(kept: Sequence[Window], start: int, boxes: Sequence[Box | None]) -> tuple[Window, ...]:
    """A window for each of `boxes`, those of the frames from `start` on being the `kept` ones, of a take that is there.

    All have the size of those, whole frames included. The path leaves them on either side at their pace; where a box
    is too large for them or runs away it is cut.
    """
    width, height, fit = kept[0].width, kept[0].height, kept[0].fit
    if kept[0].is_whole:
        return whole(len(boxes), fit)
    x, y = _Axis.both(boxes, width, height)
    left = x.continued(fit.plate_width, np.array([window.x for window in kept], np.float64), start)
    top = y.continued(fit.plate_height, np.array([window.y for window in kept], np.float64), start)
    return tuple(Window(width, height, int(a), int(b), fit) for a, b in zip(left, top, strict=True))


@dataclass(frozen=True, eq=False)
class _Axis:
    """Where somebody is, seen along one side of the frame."""

    low: Line
    high: Line
    """From where to where his box reaches in each frame; ±inf where he is nowhere."""
    margin: int
    end: int
    """Pixels of the frame's side."""
    slack: int = 0
    """What the path keeps away from its bounds, so that its bends can be rounded off."""

    @classmethod
    def both(cls, boxes: Sequence[Box | None], width: int, height: int) -> tuple[_Axis, _Axis]:
        """Along the width and along the height."""
        nowhere = (math.inf, math.inf, -math.inf, -math.inf)
        x0, y0, x1, y1 = np.array([box or nowhere for box in boxes], np.float64).T
        margin = math.ceil(MARGIN * max((x1 - x0).max(), (y1 - y0).max()))
        return cls(x0, x1, margin, width), cls(y0, y1, margin, height)

    @property
    def need(self) -> int:
        """The side of a window that holds the largest box, the margins and the slack."""
        return int((self.high - self.low).max()) + 2 * (self.margin + self.slack)

    def bounds(self, size: int, room: int) -> tuple[Line, Line]:
        """Between what a window of `size` pixels has to begin, to lie in the frame and hold each box with `room`."""
        last = self.end - size
        return np.clip(self.high + room - size, 0, last), np.clip(self.low - room, 0, last)

    def starts(self, size: int) -> Line:
        """The first pixel of a window of `size` pixels in each frame, in whole pixels, inside the frame.

        The same in all frames where that can be, else a tight string's path, rounded off at its bends. The second
        difference of such a mean of what lies between 0 and `end − size` is at most 2·(end − size)/REACH², and 2 for
        the rounding.
        """
        least, most = self.bounds(size, self.margin)
        if (low := least.max()) <= (high := most.min()):
            return np.full(len(least), (low + high) // 2)
        return np.rint(_rounded(_taut(*self.bounds(size, self.margin + self.slack))))

    def continued(self, size: int, kept: Line, start: int) -> Line:
        """The same where the frames from `start` on have the places `kept`: as smooth as does not cut more of a box."""
        least, most = self.bounds(size, self.margin)
        middle = (least + most) / 2
        least, most = np.minimum(least, middle), np.maximum(most, middle)  # one place where both cannot be had
        end = start + len(kept)
        paths = []
        for fade in FADES:
            before = _onwards(kept[::-1], least[:start][::-1], most[:start][::-1], fade)[::-1]
            after = _onwards(kept, least[end:], most[end:], fade)
            paths.append(np.rint(np.clip(np.concatenate((before, kept, after)), 0, self.end - size)))
        return min(paths, key=lambda path: self.lacking(size, path, 0))

    def lacking(self, size: int, starts: Line, room: int) -> int:
        """By how many pixels a bend that was rounded off comes nearer to a box than `room`."""
        least, most = self.bounds(size, room)
        return int(np.maximum(least - starts, starts - most).max(initial=0))


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


def _rounded(path: Line) -> Line:
    """The mean of what lies within `REACH` frames, nearer ones counting more."""
    weights = REACH - np.abs(np.arange(1 - REACH, REACH), dtype=np.float64)
    return np.convolve(np.pad(path, REACH - 1, mode="edge"), weights / weights.sum(), "valid")


def _onwards(known: Line, least: Line, most: Line, fade: int) -> Line:
    """A path between bounds that leaves `known` at its pace, where that ends, and in `fade` frames goes its own way."""
    known = known[-REACH:]
    path = _rounded(_taut(np.concatenate((known, least)), np.concatenate((known, most))))
    first, own = path[: len(known)], path[len(known) :]
    after = np.arange(1, len(own) + 1)
    weight = np.clip(1 - after / fade, 0, 1) ** 2
    gap, pace = known[-1] - first[-1], _pace(known) - _pace(first)
    return np.asarray(own + weight * (gap * (1 + 2 * after / fade) + pace * after))


def _pace(path: Line) -> float:
    """Pixels a frame at the end of a path."""
    last = path[-4:]
    return float(last[-1] - last[0]) / max(len(last) - 1, 1)


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
