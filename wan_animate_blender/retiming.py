"""Which frame of its footage a strip counts to when: rate, reverse, retiming keys, strobe. Knows no Blender.

The order of the steps, and that they are taken in single precision, is the sequencer's own (Blender's strip_time.cc
and strip_retiming.cc): halves are common here, and are rounded to another frame by a difference in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAME_SPEED = 0.01
"""Speeds before and after a transition that differ by less are one straight line to Blender."""

Point = tuple[float, float]
"""Frames of content, and the part of the footage shown there."""


@dataclass(frozen=True)
class Key:
    """A retiming key: from here on the footage runs at a constant speed to the next key, or changes its speed."""

    index: float
    """Frames of the strip's content before it, at the footage's own rate."""
    factor: float
    """What is shown here, as a part (0 to 1) of the footage."""
    eases: bool = False
    """Whether a transition to the speed after the next key begins here."""


@dataclass(frozen=True)
class Clock:
    """How a strip counts the frames of its footage along the timeline."""

    first: float
    """Frame of the timeline at which its content begins, were it not trimmed."""
    last: float
    """Frame of the timeline at which its content ends, inclusive."""
    frames: int
    """Length of the footage."""
    rate: float = 1.0
    """Frames of the footage to one of the timeline."""
    reverse: bool = False
    strobe: float = 1.0
    """Each frame is held so long."""
    keys: tuple[Key, ...] = ()
    old: bool = False
    """Whether it counts as Blender did before 5.0: keys lie on frames, and not between them."""

    def index(self, frame: float) -> float:
        """The frame of the footage at `frame` of the timeline, 0 to `frames` - 1; ends are held."""
        zero, one = np.float32(0), np.float32
        away = one(self.last) - one(frame) if self.reverse else one(frame) - one(self.first)
        index = max(away, zero) * one(self.rate)
        if len(self.keys) > 1:
            index = self._factor(index) * one(self.frames - self.old)
        index = min(max(index, zero), one(self.frames - 1))
        if self.strobe > 1:
            index -= one(math.fmod(float(index), float(one(self.strobe))))
        return float(index)

    def _factor(self, index: np.float32) -> np.float32:
        """The part of the footage that the keys show at `index` frames of content."""
        at = max((i for i, key in enumerate(self.keys[:-1]) if key.index <= index), default=0)
        key = self.keys[at]
        away = np.float32(float(index) - key.index)
        if not key.eases:
            found = np.float32(key.factor) + _speed(self.keys, at) * away
        elif abs(self._told_speed(at - self.old) - self._told_speed(at + 2)) < SAME_SPEED:
            found = np.float32(key.factor) + _speed(self.keys, at - 1) * away
        else:
            found = _on_arc(self.keys, at, float(index))
        return min(np.float32(1), found)

    def _told_speed(self, at: int) -> float:
        """The speed before key `at` that Blender shows: of whole frames of the footage, 1 before the first key."""
        key, before = self.keys[at], self.keys[at - 1]
        if key.index == 0:
            return 1.0
        here, there = (nearest(np.float32(one.factor) * np.float32(self.frames - 1)) for one in (key, before))
        return (here - there) / (key.index - before.index) if key.index != before.index else math.inf


def nearest(index: float | np.float32) -> int:
    """The whole frame that is shown for `index`: halves go up, in single precision."""
    return math.floor(np.float32(index) + np.float32(0.5))


def _speed(keys: Sequence[Key], at: int) -> np.float32:
    """Change of the factor for one frame after key `at`."""
    change = np.float32(keys[at + 1].factor) - np.float32(keys[at].factor)
    length = keys[at + 1].index - keys[at].index
    return np.float32(float(change) / length) if length else np.float32(math.inf)


def _on_arc(keys: Sequence[Key], at: int, index: float) -> np.float32:
    """On the circle that leaves the line before key `at` and runs into the line after the next key without a kink.

    Its centre is where the perpendiculars of both lines at their ends meet.
    """
    before, start, end, after = ((key.index, key.factor) for key in keys[at - 1 : at + 3])
    one, two = _across(before, start, start), _across(end, after, end)
    parallel = one[0] * two[1] - one[1] * two[0]
    if not parallel:
        return np.float32(start[1]) + _speed(keys, at - 1) * np.float32(index - start[0])
    along = ((start[1] - end[1]) * two[0] - (start[0] - end[0]) * two[1]) / parallel
    centre = start[0] + along * one[0], start[1] + along * one[1]
    radius = math.sqrt((start[0] - centre[0]) ** 2 + (start[1] - centre[1]) ** 2)
    side = -1 if centre[1] > start[1] else 1
    return np.float32(centre[1] + side * math.sqrt(radius**2 - (index - centre[0]) ** 2))


def _across(start: Point, end: Point, at: Point) -> Point:
    """The line from `end` to `start`, turned a quarter; with what adding it to `at` leaves of its last bits."""
    return at[0] - (start[1] - end[1]) - at[0], at[1] + (start[0] - end[0]) - at[1]
