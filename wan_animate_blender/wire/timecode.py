"""Timecodes, counted by SMPTE ST 12-1. Knows no file and no shot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from .messages import expect

_TEXT = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})([:;])([0-9]{2})")
_DROPPED = {Fraction(30000, 1001): 2, Fraction(60000, 1001): 4}
"""Numbers that drop-frame counting leaves out at the start of each minute but every tenth, so that it keeps to the
clock."""


@dataclass(frozen=True)
class Timecode:
    """One frame of footage at `fps` frames a second."""

    fps: Fraction
    frame: int
    """Counted from 00:00:00:00 on."""
    drops: bool = False
    """Whether it is counted as drop-frame, which is written with a semicolon."""

    @classmethod
    def read(cls, text: str, fps: Fraction) -> Self:
        """A text such as "01:00:00:00", or "01:00:00;00". Raises `WireError` for a frame that is never counted so."""
        found = _TEXT.fullmatch(text)
        expect(found is not None, "timecode", repr(text), 'hours, minutes, seconds and frame, as "01:00:00:00"')
        hours, minutes, seconds, mark, frame = found.groups() if found else ("0", "0", "0", ":", "0")
        drops, rate = mark == ";", round(fps)
        expect(
            not drops or fps in _DROPPED, "timecode", repr(text), "a colon before the frame at whole rates and 23.976"
        )
        whole = int(hours) * 60 + int(minutes)
        number = (whole * 60 + int(seconds)) * rate + int(frame)
        if drops:
            number -= _DROPPED.get(fps, 0) * (whole - whole // 10)
        made = cls(fps, number, drops)
        expect(str(made) == text, "timecode", repr(text), f"one that is counted at {float(fps):.5g} frames a second")
        return made

    def later(self, frames: int) -> Timecode:
        """The one of `frames` frames later, or earlier; after a day it begins anew."""
        return Timecode(self.fps, self.frame + frames, self.drops)

    @property
    def fields(self) -> tuple[int, int, int, int]:
        """Hours, minutes, seconds, frame."""
        rate, dropped = round(self.fps), _DROPPED.get(self.fps, 0) if self.drops else 0
        minute = 60 * rate - dropped
        tens, rest = divmod(self.frame % (144 * (10 * minute + dropped)), 10 * minute + dropped)
        left_out = 9 * tens + max((rest - dropped) // minute, 0)
        number = tens * (10 * minute + dropped) + rest + dropped * left_out
        seconds, frame = divmod(number, rate)
        return seconds // 3600, seconds // 60 % 60, seconds % 60, frame

    def __str__(self) -> str:
        hours, minutes, seconds, frame = self.fields
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if self.drops else ':'}{frame:02d}"
